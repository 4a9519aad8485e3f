"""Searches at home: each query of the call is about one store, and nothing else. Most calls are of such queries only.

The answer is that of `shard.ranking`, found with a third of its steps because here there is only one way: scan each
store, score the nominees of all exactly, sort. Where that would not settle an answer (faces that tie, or rows that look
as good as a nominee), where a store is small, or where anything else is asked for, nobody is answered here.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice, repeat
from typing import NamedTuple

import numpy as np

from common.types import Vectors, candidate_of
from shard.gallery import Gallery
from shard.products import exact_scores, nearest_of_each
from shard.ranking import Found, margin
from shard.rows import Rows, Slots

SPARE = 3
"""nominees beyond k; with so few, one answer in some thousands is not settled among a thousand faces"""


class Home(NamedTuple):
    store: str
    gallery: Gallery
    probes: Vectors
    """(q, d)"""


def found_at_home(homes: Sequence[Home], top_k: int) -> Found | None:
    """For each probe, home after home, its `top_k` candidates. None where not all of them are settled here."""
    rows = homes[0].gallery.within
    width = top_k + SPARE
    runs = []
    for _, gallery, probes in homes:
        run = gallery.run
        if gallery.within is not rows or run.count < width or probes.shape[1] != rows.dimension:
            return None
        runs.append((probes, run.start, run.stop))
    probes, quick, slots = nearest_of_each(runs, rows.vectors, width)
    exact = exact_scores(probes, rows.vectors, slots)
    order = (-exact).argsort(axis=1)[:, : top_k + 1]
    order += np.arange(0, slots.size, width)[:, None]
    best = exact.take(order)
    # Quick scores come best first: what was not nominated has at most the last of them.
    doubtful = quick[:, -1] > best[:, top_k - 1] - margin(rows.dimension)
    if doubtful.any() or (best[:, 1:] == best[:, :-1]).any():
        return None
    return _candidates(rows, homes, slots.take(order[:, :top_k]), best[:, :top_k].tolist())


def _candidates(rows: Rows, homes: Sequence[Home], slots: Slots, scores: list[list[float]]) -> Found:
    photos = rows.photos.take(slots).tolist()
    lines = zip(slots.tolist(), scores, photos, strict=True)
    found = []
    for store, gallery, probes in homes:
        for theirs, score, photos in islice(lines, len(probes)):
            faces, kinds, members = gallery.faces(theirs)
            columns = zip(repeat(store), faces, score, kinds, members, photos, strict=False)
            found.append(tuple(map(candidate_of, columns)))
    return found
