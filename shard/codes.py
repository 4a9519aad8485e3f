"""Short codes of a group's rows, in any Faiss index: quick to scan, they nominate slots whose rows then decide.

Codes are only ever added. Which of them count is said by two arrays that follow every write at once:

    slot_of_code[c] = s     where the row of code c lies, or lay
    code_of_slot[s] = c     the code of the row that lies in slot s now; -1: none (a fresh row), or no row

Code c is alive while each names the other. So a row that is dropped or replaced is hidden the moment it happens, one
that moves takes its code along, and dead codes cost time and 32 bytes until the codes are built again.

The metric is L2: of unit rows the smallest distance is the largest cosine. By inner product the same codes are useless
(recall 0.57 where L2 has 1.00): all faces share a large mean, and its rounding drowns what tells them apart.
"""

from __future__ import annotations

import numpy as np

from common.types import Vectors
from shard.recipe import Recipe
from shard.rows import NOBODY, Rows, Slots

NO_CODE = -1
SMALL_WRITE = 256
"""slots of a write after which the list of fresh slots is mended; after a larger one it is made anew when needed"""


class Codes:
    """A shard.rows.Watcher."""

    def __init__(self, recipe: Recipe, sample: Vectors, rows_then: int) -> None:
        """Train on the sample (n, d). Raises InvalidIndex like `Recipe.index`, RuntimeError if Faiss cannot train it,
        for one because the sample is too small."""
        self.recipe = recipe
        """as asked for"""
        self.suited = recipe.suited(sample)
        self.rows_then = rows_then
        """of the group, when the sample was taken"""
        self._index = self.suited.index(sample.shape[1])
        self._index.train(sample)
        self._slot_of_code = np.zeros(1, dtype=np.int32)
        self._code_of_slot = np.full(1, NO_CODE, dtype=np.int32)
        self._fresh: Slots | None = None

    def __len__(self) -> int:
        """Codes, the dead ones included."""
        return int(self._index.ntotal)

    def follow(self, rows: Rows) -> None:
        """Be told of every change from now on. All rows are fresh."""
        self._cover(len(rows.owners))
        rows.watchers.append(self)

    def dead(self, rows: Rows) -> int:
        return len(self) - (rows.count - len(self.fresh(rows)))

    def fresh(self, rows: Rows) -> Slots:
        """The slots whose rows have no code, ascending. Two searches may ask at once: nothing is resized here."""
        if self._fresh is None:
            slots = min(len(self._code_of_slot), len(rows.owners))
            without = self._code_of_slot[:slots] == NO_CODE
            self._fresh = np.flatnonzero(without & (rows.owners[:slots] != NOBODY))
        return self._fresh

    def nominate(self, probes: Vectors, depth: int) -> Slots:
        """Per probe of (q, d) the slots (q, depth) of the rows whose codes are nearest; -1 where a code is dead, or
        where there are not so many."""
        _, codes = self._index.search(probes, depth)
        slots: Slots = self._slot_of_code[codes].astype(np.int64)
        slots[(codes < 0) | (self._code_of_slot[slots] != codes)] = -1
        return slots

    def add(self, rows: Vectors) -> None:
        """Code rows (n, d), which count once they are registered. No search of these codes may run meanwhile."""
        if len(rows):  # with none, Faiss crashes
            self._index.add(rows)

    def register(self, slots: Slots, coded: Vectors, rows: Rows) -> None:
        """The last codes added are those of these slots, as far as the rows there still are the ones `coded`."""
        first = len(self) - len(slots)
        if len(self) > len(self._slot_of_code):
            self._slot_of_code.resize(len(self) + len(self) // 16, refcheck=False)
        self._slot_of_code[first : len(self)] = slots
        self._cover(len(rows.owners))
        codes = np.arange(first, len(self), dtype=np.int32)
        there = slots < len(rows.owners)
        slots, codes, coded = slots[there], codes[there], coded[there]
        same = (rows.owners[slots] != NOBODY) & (rows.vectors[slots] == coded).all(axis=1)
        self._code_of_slot[slots[same]] = codes[same]
        if self._fresh is not None:
            few = len(slots) <= SMALL_WRITE
            self._fresh = np.setdiff1d(self._fresh, slots[same], assume_unique=True) if few else None

    def written(self, slots: Slots) -> None:
        self._cover(int(slots.max(initial=-1)) + 1)
        self._code_of_slot[slots] = NO_CODE
        if self._fresh is not None:
            self._fresh = np.union1d(self._fresh, slots) if len(slots) <= SMALL_WRITE else None

    def moved(self, source: int, target: int, count: int) -> None:
        self._cover(max(source, target) + count)
        codes = self._code_of_slot[source : source + count].copy()
        self._code_of_slot[source : source + count] = NO_CODE
        self._code_of_slot[target : target + count] = codes
        coded = np.flatnonzero(codes != NO_CODE)
        self._slot_of_code[codes[coded]] = target + coded
        if count > SMALL_WRITE:
            self._fresh = None
        if self._fresh is not None:
            left = _without(_without(self._fresh, source, count), target, count)
            self._fresh = np.union1d(left, target + np.flatnonzero(codes == NO_CODE))

    def cleared(self, start: int, count: int) -> None:
        self._cover(start + count)
        self._code_of_slot[start : start + count] = NO_CODE
        if self._fresh is not None:
            self._fresh = _without(self._fresh, start, count)

    def _cover(self, slots: int) -> None:
        present = len(self._code_of_slot)
        if slots > present:
            self._code_of_slot.resize(slots, refcheck=False)
            self._code_of_slot[present:] = NO_CODE


def _without(slots: Slots, start: int, count: int) -> Slots:
    """Ascending slots but for those of a range."""
    first, last = np.searchsorted(slots, [start, start + count])
    return slots if first == last else np.delete(slots, slice(first, last))
