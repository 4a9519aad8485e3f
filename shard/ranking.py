"""Which faces are most like a probe: exact scores, ordered by (-score, store, face_id).

More slots are nominated than were asked for, by quick scores; the nominees are scored exactly and sorted. After a scan,
a row that was not nominated can belong to the answer only if its quick score is within `margin` of the last exact score
of the answer. Where that cannot be excluded (many equal rows) more rows are nominated for that probe, in the end all.
So the answer of a scan is that of a single exact product over all rows, ties included, however the rows are spread over
galleries, groups and shards. Codes can miss a row; what they nominate is scored and ordered in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple, TypeAlias

import numpy as np

from common.types import Candidate, Vectors, candidate_of
from shard.group import Group
from shard.nominees import Owners, Part, coded, every_slot, scanned
from shard.products import exact_scores
from shard.rows import Slots

SPARE = 8
"""nominees beyond k: so many faces may tie at the end before more rows are scored"""
WIDENING = 16

Found: TypeAlias = list[tuple[Candidate, ...]]


def margin(dimension: int) -> float:
    """How far a float32 dot product of two unit vectors may be off, rounding of the exact score included.

    Bound d·u·Σ|xᵢyᵢ| ≤ d·u with u = 2⁻²⁴ (Higham, Accuracy and Stability of Numerical Algorithms, 3.1), doubled.
    """
    return dimension * 2.0**-23


class Piece(NamedTuple):
    """Probes (q, d) that ask about the same part. Probe i passes over the gallery homes[i]."""

    part: Part
    probes: Vectors
    homes: Owners | None = None


def best(pieces: Sequence[Piece], top_k: int, *, exact: bool = False) -> Found:
    """For each probe, piece after piece, its `top_k` candidates, fewer where there are fewer rows. All parts are of one
    group. `exact`: by a scan also where there are codes."""
    width = top_k + SPARE
    nominated = [_nominated(piece, width, exact=exact) for piece in pieces]
    group = pieces[0].part.group
    if len(pieces) == 1:
        probes, (slots, floors) = pieces[0].probes, nominated[0]
    else:
        probes = np.concatenate([piece.probes for piece in pieces])
        widest = max(slots.shape[1] for slots, _ in nominated)
        slots = np.concatenate([_as_wide(slots, widest) for slots, _ in nominated])
        floors = np.concatenate([floors for _, floors in nominated])
    found, last = _ranked(group, probes, slots, top_k)
    doubtful = floors > last - margin(group.dimension)
    if doubtful.any():
        for at in doubtful.nonzero()[0].tolist():
            found[at] = _of_more_rows(_alone(pieces, at), top_k)
    return found


def _nominated(piece: Piece, width: int, *, exact: bool) -> tuple[Slots, Vectors]:
    """Slots (q, w), and what the quick scores of all others are at most, (q,): -inf where there are none, or where
    nobody says. Of a scan w is at most `width`."""
    part, probes, homes = piece.part, piece.probes, piece.homes
    slots = None if exact else coded(part, probes, homes, width)
    if slots is not None:
        return slots, np.full(len(probes), -np.inf, dtype=np.float32)
    slots, scores = scanned(part, probes, homes, width)
    if slots.shape[1] < width:
        return slots, np.full(len(probes), -np.inf, dtype=np.float32)
    return slots, scores.min(axis=1)


def _as_wide(slots: Slots, width: int) -> Slots:
    if slots.shape[1] == width:
        return slots
    wide = np.full((len(slots), width), -1)
    wide[:, : slots.shape[1]] = slots
    return wide


def _alone(pieces: Sequence[Piece], at: int) -> Piece:
    """The piece of the probe that is number `at` of all."""
    for piece in pieces:
        if at < len(piece.probes):
            homes = None if piece.homes is None else piece.homes[at : at + 1]
            return Piece(piece.part, piece.probes[at : at + 1], homes)
        at -= len(piece.probes)
    raise IndexError(at)


def _of_more_rows(alone: Piece, top_k: int) -> tuple[Candidate, ...]:
    group = alone.part.group
    slots, scores = scanned(alone.part, alone.probes, alone.homes, WIDENING * (top_k + SPARE))
    found, last = _ranked(group, alone.probes, slots, top_k)
    if slots.shape[1] < WIDENING * (top_k + SPARE) or scores.min() < last[0] - margin(group.dimension):
        return found[0]
    every = every_slot(alone.part, alone.homes)
    exact = exact_scores(alone.probes, group.rows.vectors, every[None])[0]
    kth = max(0, len(every) - top_k)
    chosen = every[exact >= np.partition(exact, kth)[kth]]
    return _ranked(group, alone.probes, chosen[None], top_k)[0][0]


def _ranked(group: Group, probes: Vectors, slots: Slots, top_k: int) -> tuple[Found, Vectors]:
    """The candidates in these slots (q, w), -1 for none, and the last score (q,) of each answer; where there are fewer
    than `top_k`, -inf."""
    scores = exact_scores(probes, group.rows.vectors, slots)
    first = (-scores).argsort(axis=1)[:, : top_k + 1]
    first += np.arange(0, slots.size, slots.shape[1] or 1)[:, None]
    best_slots, best = slots.take(first), scores.take(first)
    last = best[:, top_k - 1] if best.shape[1] >= top_k else np.full(len(probes), -np.inf, dtype=np.float32)
    found = _candidates(group, best_slots[:, :top_k], best[:, :top_k])
    ties = (best[:, 1:] == best[:, :-1]) & (best_slots[:, 1:] >= 0)
    if ties.any():
        for at in ties.any(axis=1).nonzero()[0].tolist():
            (every,) = _candidates(group, slots[at : at + 1], scores[at : at + 1])
            found[at] = tuple(sorted(every, key=rank)[:top_k])
    return found, last


def rank(hit: Candidate) -> tuple[float, str, str]:
    return -hit.score, hit.store, hit.face_id


def _candidates(group: Group, slots: Slots, scores: Vectors) -> Found:
    """Of slots (q, w) with these scores, but for those without a row."""
    there = slots >= 0
    flat = slots[there]
    owners = group.rows.owners[flat].tolist()
    galleries = map(group.galleries.__getitem__, owners)
    faces = [gallery.face(slot) for gallery, slot in zip(galleries, flat.tolist(), strict=True)]
    stores, photos = map(group.stores.__getitem__, owners), group.rows.photos[flat].tolist()
    lines = zip(stores, faces, scores[there].tolist(), photos, strict=True)
    hits = iter([candidate_of((store, face, score, *who, photos)) for store, (face, who), score, photos in lines])
    return [tuple(islice(hits, count)) for count in np.count_nonzero(there, axis=1).tolist()]
