"""All rows of one group on this replica: one contiguous float32 array, each store's rows a run of slots in it.

    slot      0 ........ 999 | 1000 ... 1999 |  (gap)  | 2400 .......
    run       store A        | store B       |         | store C
    owner     0 0 0 ...  0 0 | 1 1 ... 1 -1  |  -1 ... | 2 2 2 ...

One array, so that a search over the whole group is one scan or one re-ranking of slots, and a search in one store is
the same over a slice of it. Beside a slot: whose it is (the number of its gallery; -1: nobody's) and how many photos
are behind its row. Slots of nobody are zero: an erased face leaves nothing behind here either.

The array grows by `ndarray.resize`: for large blocks that is `mremap`, which copies nothing, where a second array would
double the memory of the replica for a moment. So a view of it is dead after the next write, and nobody may keep one.

A full run moves to the first gap that fits, or to the end, with room for 1/8 more; the gap it leaves is used by others,
and where gaps are more than 1/8 of all, every write lets a few runs slide down into them. So the array is at most about
a quarter longer than its rows, and directly after loading not at all.

Not locked; the gate keeps writes and searches apart. `watchers` are told of every change while it happens.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from common.types import Vectors

Slots: TypeAlias = npt.NDArray[np.int64]
NOBODY = -1
FIRST_SLOTS = 16
GROWTH, MOST_GROWTH = 64, 16_384
"""slots added at once: 1/64 of those there are, at most 8 MB, which are zeroed while searches wait"""
SLACK = 8
"""a run that moves has room for 1/8 more; gaps of up to 1/8 are left alone"""
SLIDES = 8
"""runs moved by one write at most"""


@dataclass(slots=True, eq=False)
class Run:
    """The slots of one gallery: `start` up to `start + room`, of which the first `count` hold rows."""

    start: int
    room: int
    count: int = 0

    @property
    def stop(self) -> int:
        """The slot after its last row."""
        return self.start + self.count

    @property
    def end(self) -> int:
        return self.start + self.room


class Watcher(Protocol):
    """Keeps something in step with the slots."""

    def written(self, slots: Slots) -> None:
        """Other rows are in these slots now."""

    def moved(self, source: int, target: int, count: int) -> None:
        """The rows of `count` slots from `source` on are at `target` now; the two ranges may overlap."""

    def cleared(self, start: int, count: int) -> None:
        """There are no rows in these slots any more."""


class Rows:
    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self.vectors: Vectors = np.zeros((FIRST_SLOTS, dimension), dtype=np.float32)
        self.owners = np.full(FIRST_SLOTS, NOBODY, dtype=np.int32)
        self.photos = np.ones(FIRST_SLOTS, dtype=np.uint8)
        self.count = 0
        """rows in all runs"""
        self.watchers: list[Watcher] = []
        self._runs: list[Run] = []
        """by start"""
        self._taken = 0
        """slots in runs"""

    @property
    def end(self) -> int:
        """The slot after the last run; gaps before it count."""
        return self._runs[-1].end if self._runs else 0

    def take(self, room: int) -> Run:
        """An empty run of `room` slots, one at least: no two runs start at the same slot."""
        run = Run(0, max(1, room))
        self._place(run)
        return run

    def give_back(self, run: Run) -> None:
        """Clear the run; its slots may be taken by others."""
        self.cut(run, run.count)
        self._displace(run)
        self._shrink()

    def between(self, start: int, stop: int) -> Vectors:
        """The rows in these slots, zeros where there are none: a view that the next write invalidates."""
        return self.vectors[start:stop]

    def put(self, run: Run, owner: int, positions: Slots, rows: Vectors, photos: npt.ArrayLike) -> None:
        """Write rows (n, d) at these positions of the run, which grows to hold them; of a position that comes twice the
        last row counts."""
        wanted = int(positions.max(initial=-1)) + 1
        if wanted > run.room:
            self._widen(run, wanted + max(FIRST_SLOTS, wanted // SLACK))
        slots = run.start + positions
        self.vectors[slots] = rows
        self.photos[slots] = photos
        self.owners[slots] = owner
        self.count += max(0, wanted - run.count)
        run.count = max(run.count, wanted)
        for watcher in self.watchers:
            watcher.written(slots)

    def fill(self, run: Run, position: int) -> None:
        """Take out the row at `position`: the last of the run comes into its place."""
        last = run.count - 1
        if position != last:
            self._move(run.start + last, run.start + position, 1)
        self.cut(run, 1)

    def cut(self, run: Run, count: int) -> None:
        """Take out the run's last `count` rows."""
        run.count -= count
        self.count -= count
        self._clear(run.stop, count)

    def copy_from(self, run: Run, owner: int, other: Rows, source: Run) -> None:
        """Put what `source` of `other` holds into this empty run."""
        there = slice(source.start, source.stop)
        positions = np.arange(source.count)
        self.put(run, owner, positions, other.vectors[there], other.photos[there])

    def _widen(self, run: Run, room: int) -> None:
        """Give the run more room, where it is or elsewhere."""
        source = run.start
        self._displace(run)
        run.room = room
        self._place(run, source)
        if run.start != source:
            self._move(source, run.start, run.count)
            self._slide()

    def _place(self, run: Run, wish: int = 0) -> None:
        """Put the run where it fits: at `wish` if that can be, in the first gap, or at the end."""
        run.start = self._gap(run.room, wish)
        insort(self._runs, run, key=_start)
        self._taken += run.room
        self._reserve(run.end)

    def _displace(self, run: Run) -> None:
        del self._runs[bisect_left(self._runs, run.start, key=_start)]
        self._taken -= run.room

    def _gap(self, room: int, wish: int) -> int:
        before, after = self._neighbours(wish)
        if before <= wish and (after is None or after - wish >= room):
            return wish
        if self.end - self._taken >= room:
            free = 0
            for run in self._runs:
                if run.start - free >= room:
                    return free
                free = run.end
        return self.end

    def _neighbours(self, slot: int) -> tuple[int, int | None]:
        """Where the last run that begins before the slot ends, and where the next one starts."""
        at = bisect_left(self._runs, slot, key=_start)
        return self._runs[at - 1].end if at else 0, self._runs[at].start if at < len(self._runs) else None

    def _slide(self) -> None:
        """Let a few runs move down into the gaps before them, if gaps are too much of the whole."""
        for _ in range(SLIDES):
            if (self.end - self._taken) * SLACK <= self._taken:
                return
            free = 0
            for run in self._runs:
                if run.start > free:
                    source, run.start = run.start, free
                    self._move(source, free, run.count)
                    break
                free = run.end
        self._shrink()

    def _move(self, source: int, target: int, count: int) -> None:
        there, here = slice(source, source + count), slice(target, target + count)
        self.vectors[here] = self.vectors[there]  # numpy minds the overlap
        self.photos[here] = self.photos[there]
        self.owners[here] = self.owners[there]
        for watcher in self.watchers:
            watcher.moved(source, target, count)
        if target < source:
            self._wipe(max(source, target + count), source + count)
        else:
            self._wipe(source, min(source + count, target))

    def _clear(self, start: int, count: int) -> None:
        self._wipe(start, start + count)
        for watcher in self.watchers:
            watcher.cleared(start, count)

    def _wipe(self, start: int, stop: int) -> None:
        self.vectors[start:stop] = 0
        self.photos[start:stop] = 1
        self.owners[start:stop] = NOBODY

    def _reserve(self, slots: int) -> None:
        present = len(self.owners)
        if slots > present:
            self._resize(max(slots, present + min(present // GROWTH, MOST_GROWTH)))

    def _shrink(self) -> None:
        if len(self.owners) - self.end > FIRST_SLOTS + len(self.owners) // SLACK:
            self._resize(max(self.end, FIRST_SLOTS))

    def _resize(self, slots: int) -> None:
        present = len(self.owners)
        self.vectors.resize((slots, self.dimension), refcheck=False)  # new slots are zero
        self.owners.resize(slots, refcheck=False)
        self.photos.resize(slots, refcheck=False)
        self.owners[present:] = NOBODY
        self.photos[present:] = 1


def _start(run: Run) -> int:
    return run.start
