"""Inner products of probes and rows, quick and exact.

Scores come in two kinds. Faiss nominates by float32 sums, whose last bits depend on the processor and on how many
probes came together; what leaves is `exact_scores`: the dot product in float64, rounded once to float32. The same
row and probe give the same score in every gallery, batch and replica.

Nothing here calls numpy's BLAS, which would start threads of its own: Faiss counts its threads per calling thread.
"""

from __future__ import annotations

from collections.abc import Sequence

import faiss
import numpy as np

from common.types import Vectors
from shard.rows import Slots

EXACT_BLOCK = 4096
"""rows scored in float64 at once: 4 MB at d = 128"""


def use_one_openmp_thread() -> None:
    """Call it on each search thread: OpenMP counts per calling thread, and the cores are shared out by the threads."""
    faiss.omp_set_num_threads(1)


def nearest(probes: Vectors, rows: Vectors, width: int) -> tuple[Vectors, Slots]:
    """Per probe of (q, d) the `width` rows that look best, at most all: float32 scores and positions, both (q, width),
    best first."""
    _, scores, slots = nearest_of_each([(probes, 0, len(rows))], np.ascontiguousarray(rows), min(width, len(rows)))
    return scores, slots


def nearest_of_each(
    searches: Sequence[tuple[Vectors, int, int]], rows: Vectors, width: int
) -> tuple[Vectors, Vectors, Slots]:
    """Several searches, each of some probes (q, d) among the rows from a slot on up to another, `width` at least: all
    probes, search after search, and what looks best to each, scores and slots, as of `nearest`."""
    probes = np.concatenate([theirs for theirs, _, _ in searches])
    scores = np.empty((len(probes), width), dtype=np.float32)
    slots = np.empty((len(probes), width), dtype=np.int64)
    dimension, pointer, at = rows.shape[1], faiss.swig_ptr, 0
    for theirs, start, stop in searches:
        end = at + len(theirs)
        found = pointer(scores[at:end]), pointer(slots[at:end])
        asked, held = pointer(probes[at:end]), pointer(rows[start:stop])
        # What faiss.knn does, without its checks, which take as long as a search among a few hundred rows.
        faiss.knn_inner_product(asked, held, dimension, end - at, stop - start, width, *found)
        slots[at:end] += start
        at = end
    return probes, scores, slots


def quick_scores(probes: Vectors, rows: Vectors, slots: Slots) -> Vectors:
    """Float32 scores (q, w) of the rows in these slots (q, w) against each probe of (q, d), without copying the rows;
    -inf where the slot is negative."""
    there = np.ascontiguousarray(np.maximum(slots, 0))
    scores = np.empty(slots.shape, dtype=np.float32)
    probes = np.ascontiguousarray(probes)
    pointers = (faiss.swig_ptr(array) for array in (scores, probes, rows, there))
    faiss.fvec_inner_products_by_idx(*pointers, probes.shape[1], *slots.shape)  # type: ignore[attr-defined]
    scores[slots < 0] = -np.inf
    return scores


def exact_scores(probes: Vectors, rows: Vectors, slots: Slots) -> Vectors:
    """The scores (q, w) of the rows in these slots (q, w) against each probe of (q, d); -inf where the slot is
    negative."""
    scores = np.empty(slots.shape, dtype=np.float32)
    width = slots.shape[1]
    lines = max(1, EXACT_BLOCK // max(1, width))
    for line in range(0, len(slots), lines):
        theirs = probes[line : line + lines].astype(np.float64)
        for at in range(0, width, EXACT_BLOCK):
            here = slice(line, line + lines), slice(at, at + EXACT_BLOCK)
            # A negative slot is one from the end: some row, whose score is overwritten. The product of two float32 is
            # exact in float64, and einsum adds the d of each row in an order that depends on d alone (up to 8,192, what
            # its buffer holds); BLAS would not promise that.
            wide = rows.take(slots[here], axis=0, mode="wrap").astype(np.float64)
            scores[here] = np.einsum("qwd,qd->qw", wide, theirs)
    scores[slots < 0] = -np.inf
    return scores
