"""Which slots of a group's rows may hold the best answers to a probe: by a scan of all rows, or by their codes.

A query asks about some stores of the group (`Part`), and for each probe it may pass over one of them, the store whose
rows it was compared with already. Whatever nominates also comes upon rows of other stores and of that one: they are
passed over, and where too few nominees stay, more are asked for, until there are enough or all rows were seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from common.types import Vectors
from shard.codes import Codes
from shard.gallery import Gallery
from shard.group import Group
from shard.products import nearest, quick_scores
from shard.rows import NOBODY, Slots

MOST_DEPTH = 2000
"""where more would be needed, because few of the rows are asked about, a scan of those is faster"""
FEW = 64
"""nominees of a probe: quick scores, choosing by them and 13 exact ones take 8 microseconds of 40, which take 5"""
SCANNED_ROWS = 10_000
"""so many rows are scanned even where there are codes"""
CODED_AS, CODES_AS_ROW = 2_000, 60
"""So many rows are compared in the time of a search by codes, and one more for so many codes: 37 us among 20,000, 60
among 100,000, 150 among 333,000, 380 among a million, where a thousand rows take 20."""
JOINED_SLOTS = 512
"""runs so near to each other are scanned in one go: a scan of as many rows costs what beginning another one does"""

Owners: TypeAlias = npt.NDArray[np.int32]


class Part(NamedTuple):
    """The rows of some stores of a group. Good until the next write."""

    group: Group
    rows: int
    spans: tuple[tuple[int, int], ...]
    """slots from, up to; between them there may be some of others"""
    allowed: npt.NDArray[np.bool_] | None
    """(galleries + 1,), by owner, of NOBODY the last; None: there is one gallery, and the span holds nothing else"""
    number: int = NOBODY
    """of the gallery, where there is one"""

    @classmethod
    def of(cls, group: Group, galleries: Sequence[Gallery]) -> Part:
        if len(galleries) == 1:
            run = galleries[0].run
            return cls(group, run.count, ((run.start, run.stop),) if run.count else (), None, galleries[0].number)
        found = sorted((one.run.start, one.run.stop, one.number) for one in galleries)
        allowed = np.zeros(len(group.galleries) + 1, dtype=np.bool_)
        allowed[[number for _, _, number in found]] = True
        spans: list[tuple[int, int]] = []
        for start, stop, _ in found:
            if spans and start - spans[-1][1] <= JOINED_SLOTS:
                spans[-1] = spans[-1][0], stop
            elif stop > start:
                spans.append((start, stop))
        return cls(group, sum(stop - start for start, stop, _ in found), tuple(spans), allowed)


def scanned(part: Part, probes: Vectors, homes: Owners | None, width: int) -> tuple[Slots, Vectors]:
    """Per probe of (q, d) the slots (q, width) of the part's rows that look best by their quick scores (q, width), in
    no order; all of its rows where there are fewer, and then -1 and -inf. Probe i passes over the gallery homes[i]."""
    found = [_in_span(part, span, probes, homes, width) for span in part.spans]
    if len(found) == 1:
        return found[0]
    slots = np.concatenate([np.full((len(probes), 0), -1), *(one for one, _ in found)], axis=1)
    scores = np.concatenate([np.empty((len(probes), 0), dtype=np.float32), *(one for _, one in found)], axis=1)
    return _best(slots, scores, width)


def _in_span(
    part: Part, span: tuple[int, int], probes: Vectors, homes: Owners | None, width: int
) -> tuple[Slots, Vectors]:
    start, stop = span
    rows = part.group.rows.vectors[start:stop]
    enough = min(width, len(rows))
    wanted = width if homes is None else 2 * width
    while True:
        scores, slots = nearest(probes, rows, wanted)
        slots += start
        if part.allowed is None and homes is None:
            return slots, scores
        _pass_over(part, slots, scores, homes)
        if wanted >= len(rows) or (np.count_nonzero(slots >= 0, axis=1) >= enough).all():
            return _best(slots, scores, width)
        wanted *= 4


def coded(part: Part, probes: Vectors, homes: Owners | None, width: int) -> Slots | None:
    """The same slots by the group's codes, but for rows that the codes misjudge; up to `FEW` where choosing among them
    would take longer than their exact scores. None where there are no codes, where a scan will be faster, or where it
    is needed for want of nominees. Where one of the probes wants more, all get more: among others a probe is found as
    many as alone, or better ones."""
    codes = _codes_for(part)
    if codes is None:
        return None
    fresh = codes.fresh(part.group.rows)
    enough = min(width, part.rows)
    depth = max(codes.suited.depth, 2 * width, codes.suited.depth * len(codes) // max(1, part.rows))
    while depth <= MOST_DEPTH:
        slots = codes.nominate(probes, depth)
        if len(fresh):
            slots = np.concatenate([slots, np.broadcast_to(fresh, (len(probes), len(fresh)))], axis=1)
        _pass_over(part, slots, None, homes)
        if depth >= len(codes) or (np.count_nonzero(slots >= 0, axis=1) >= enough).all():
            if slots.shape[1] <= FEW:
                return slots
            return _best(slots, quick_scores(probes, part.group.rows.vectors, slots), width)[0]
        depth *= 2
    return None


def rows_compared(part: Part, passed_over: int) -> int:
    """How many rows a search compares that passes over so many of the part, or by codes, how many in its time. All,
    where it is likely to end in a scan because codes would nominate too few of the others."""
    codes = _codes_for(part)
    if codes is None or codes.suited.depth * len(codes) > MOST_DEPTH * (part.rows - passed_over):
        return part.rows
    return min(part.rows, CODED_AS + len(codes) // CODES_AS_ROW)


def _codes_for(part: Part) -> Codes | None:
    """The codes by which the part is searched; None: it is scanned."""
    return part.group.codes if part.rows > SCANNED_ROWS else None


def every_slot(part: Part, homes: Owners | None) -> Slots:
    """Of one probe."""
    slots = np.concatenate([np.arange(start, stop) for start, stop in part.spans])[None]
    _pass_over(part, slots, None, homes)
    return slots[slots >= 0]


def _pass_over(part: Part, slots: Slots, scores: Vectors | None, homes: Owners | None) -> None:
    """Set slots to -1, and their scores to -inf, that are not of the part or of the probe's home."""
    owners = part.group.rows.owners[slots]
    owners[slots < 0] = NOBODY
    over = owners != part.number if part.allowed is None else ~part.allowed[owners]
    if homes is not None:
        over |= owners == homes[:, None]
    slots[over] = -1
    if scores is not None:
        scores[over] = -np.inf


def _best(slots: Slots, scores: Vectors, width: int) -> tuple[Slots, Vectors]:
    if slots.shape[1] <= width:
        return slots, scores
    chosen = scores.argpartition(scores.shape[1] - width, axis=1)[:, -width:]
    chosen += np.arange(0, slots.size, slots.shape[1])[:, None]
    return slots.take(chosen), scores.take(chosen)
