"""Which faces are most like a probe, over any number of galleries: exact scores, ordered by (-score, store, face_id).

Galleries nominate more rows than were asked for, by their quick scores; the nominees are scored exactly and sorted. A
row that was not nominated can belong to the answer only if its quick score is within `margin` of the last exact score
of the answer. Where that cannot be excluded (many equal rows) every row is scored for that probe. So the answer is
the one of a single exact product over all rows, ties included, however the rows are spread over galleries and shards.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np

from common.types import Candidate, Vectors
from shard.gallery import Gallery, Positions

SPARE = 8
"""nominees beyond k: so many faces may tie at the end before every row is scored"""
MOST_NOMINEES = 1_000_000
MOST_PROBES = 64
"""bounds of one block: memory (12 bytes a nominee), and the time between two looks at the clock"""

Named: TypeAlias = Sequence[tuple[str, Gallery]]
"""store → gallery, each store once, none empty"""


def margin(dimension: int) -> float:
    """How far a float32 dot product of two unit vectors may be off, rounding of the exact score included.

    Bound d·u·Σ|xᵢyᵢ| ≤ d·u with u = 2⁻²⁴ (Higham, Accuracy and Stability of Numerical Algorithms, 3.1), doubled.
    """
    return dimension * 2.0**-23


def probe_blocks(galleries: Named, probes: Vectors, top_k: int) -> Iterator[Vectors]:
    """Cut the probes (q, d) into blocks that `best` answers with bounded memory."""
    nominees = max(1, len(galleries)) * (top_k + SPARE)
    step = max(1, min(MOST_PROBES, MOST_NOMINEES // nominees))
    for at in range(0, len(probes), step):
        yield probes[at : at + step]


def best(galleries: Named, probes: Vectors, top_k: int) -> list[tuple[Candidate, ...]]:
    """Per probe of (q, d) its `top_k` candidates, fewer where there are fewer rows."""
    if not galleries:
        return [()] * len(probes)
    width = top_k + SPARE
    scores = np.empty((len(probes), len(galleries), width), dtype=np.float32)
    positions = np.empty(scores.shape, dtype=np.int64)
    for at, (_, gallery) in enumerate(galleries):
        scores[:, at], positions[:, at] = gallery.nominate(probes, width)
    return [
        _of_one_probe(galleries, probe, top_k, scores[at].ravel(), positions[at].ravel())
        for at, probe in enumerate(probes)
    ]


def _of_one_probe(
    galleries: Named, probe: Vectors, top_k: int, quick: Vectors, positions: Positions
) -> tuple[Candidate, ...]:
    width = top_k + SPARE
    chosen = np.argpartition(quick, len(quick) - width)[len(quick) - width :]
    chosen = chosen[positions[chosen] >= 0]  # of fewer rows than `width`, the rest is padding
    ranked = _ranked(galleries, probe, chosen // width, positions[chosen])[:top_k]
    if len(chosen) == width and quick[chosen].min() >= ranked[-1].score - margin(len(probe)):
        return _of_every_row(galleries, probe, top_k)
    return ranked


def _ranked(galleries: Named, probe: Vectors, owners: Positions, positions: Positions) -> tuple[Candidate, ...]:
    found = []
    for owner in np.unique(owners).tolist():
        store, gallery = galleries[owner]
        of_owner = positions[owners == owner]
        scores = gallery.exact_scores(probe, of_owner).tolist()
        faces = map(gallery.face_id, of_owner.tolist())
        for face, score, photos in zip(faces, scores, gallery.photos(of_owner), strict=True):
            kind, member_id = gallery.known_as(face)
            found.append(Candidate(store, face, score, kind, member_id, photos))
    return tuple(sorted(found, key=lambda c: (-c.score, c.store, c.face_id)))


def _of_every_row(galleries: Named, probe: Vectors, top_k: int) -> tuple[Candidate, ...]:
    scores = np.concatenate([gallery.exact_scores(probe) for _, gallery in galleries])
    owners = np.repeat(np.arange(len(galleries)), [len(gallery) for _, gallery in galleries])
    positions = np.concatenate([np.arange(len(gallery)) for _, gallery in galleries])
    last = max(0, len(scores) - top_k)
    chosen = np.flatnonzero(scores >= np.partition(scores, last)[last])
    return _ranked(galleries, probe, owners[chosen], positions[chosen])[:top_k]
