"""The face ids of one gallery: position ↔ id, in about 40 bytes a face where a list and a dict of str need 250.

The ids are a fixed-width byte array, as wide as the longest of them. The other way round, an open-addressing table of
positions (int32, linear probing, at most two thirds full) is asked by Python's hash of str, which is another in every
process, so nobody can make up ids that collide. Searches only need position → id; the table is for the writer.

Rejected: tombstones instead of shifting back (a gallery lives for months; the table would fill up with them), and a
sorted array of hashes (an insert into a million moves megabytes).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

FREE = -1
FIRST_ENTRIES = 8
FIRST_IDS = 4
Positions: TypeAlias = npt.NDArray[np.int64]
Hashes: TypeAlias = npt.NDArray[np.int64]


class FaceIds:
    def __init__(self) -> None:
        self._ids = np.zeros(FIRST_IDS, dtype="S8")
        self._table = np.full(FIRST_ENTRIES, FREE, dtype=np.int32)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, position: int) -> str:
        face_id: bytes = self._ids.item(position)  # a quarter of the time of indexing, which makes a numpy.bytes_
        return face_id.decode()

    def at(self, positions: Positions) -> list[str]:
        """The ids at these positions."""
        return [raw.decode() for raw in self._ids[positions].tolist()]

    def each(self, positions: Sequence[int]) -> list[str]:
        """The same, for a few."""
        item = self._ids.item
        return [item(position).decode() for position in positions]

    @property
    def bytes_held(self) -> int:
        return self._ids.nbytes + self._table.nbytes

    def every(self) -> list[str]:
        return self.at(np.arange(self._count))

    def place(self, face_ids: Sequence[str]) -> Positions:
        """The position (n,) of each id; those that are new get the next ones, in the order in which they come."""
        raw = np.array([face_id.encode() for face_id in face_ids], dtype="S")
        hashes = np.fromiter(map(hash, face_ids), dtype=np.int64, count=len(face_ids))
        positions = self._find(raw, hashes)
        new = np.flatnonzero(positions == FREE)
        if len(new):
            _, first, inverse = np.unique(raw[new], return_index=True, return_inverse=True)
            nth = np.empty(len(first), dtype=np.int64)
            nth[np.argsort(first)] = np.arange(len(first))
            positions[new] = self._count + nth[inverse]
            once = np.sort(new[first])
            self._append(raw[once], hashes[once])
        return positions

    def drop(self, face_id: str) -> int:
        """Take the id out and let the last one have its position, which is returned; FREE if it is not here."""
        entry = self._entry(face_id)
        position = int(self._table[entry])
        if position == FREE:
            return FREE
        self._unlink(entry)
        last = self._count - 1
        if position != last:
            self._table[self._entry(self[last])] = position
            self._ids[position] = self._ids[last]
        self._ids[last] = b""
        self._count = last
        return position

    def trim(self) -> None:
        """Give up the room for more ids."""
        self._ids = self._ids[: max(self._count, FIRST_IDS)].copy()

    def _find(self, raw: npt.NDArray[np.bytes_], hashes: Hashes) -> Positions:
        """The position (n,) of each id, FREE for one that is not here; all go on to their next entry together."""
        found = np.full(len(raw), FREE, dtype=np.int64)
        mask = len(self._table) - 1
        entries, asking = hashes & mask, np.arange(len(raw))
        while len(asking):
            positions = self._table[entries]
            taken = positions != FREE
            hit = taken & (self._ids[positions] == raw[asking])
            found[asking[hit]] = positions[hit]
            asking, entries = asking[taken & ~hit], (entries[taken & ~hit] + 1) & mask
        return found

    def _append(self, raw: npt.NDArray[np.bytes_], hashes: Hashes) -> None:
        """Give ids that are not here, each once, the next positions."""
        count = self._count + len(raw)
        width = max(self._ids.itemsize, raw.itemsize)
        if count > len(self._ids) or width > self._ids.itemsize:
            ids = np.zeros(max(len(self._ids), count + count // 8), dtype=f"S{width}")
            ids[: self._count] = self._ids[: self._count]
            self._ids = ids
        self._ids[self._count : count] = raw
        before, self._count = self._count, count
        if 3 * count > 2 * len(self._table):
            self._table = np.full(1 << (3 * count // 2).bit_length(), FREE, dtype=np.int32)
            every = self.every()
            hashes, before = np.fromiter(map(hash, every), dtype=np.int64, count=count), 0
        self._link(hashes, np.arange(before, count, dtype=np.int32))

    def _link(self, hashes: Hashes, positions: npt.NDArray[np.int32]) -> None:
        mask = len(self._table) - 1
        entries = hashes & mask
        while len(entries):
            free = self._table[entries] == FREE
            self._table[entries[free]] = positions[free]  # where several want the same entry, the last has it
            left = self._table[entries] != positions
            entries, positions = (entries[left] + 1) & mask, positions[left]

    def _entry(self, face_id: str) -> int:
        """Where the table has the id, or the free entry where it would be."""
        raw, mask = face_id.encode(), len(self._table) - 1
        entry = hash(face_id) & mask
        while (position := self._table[entry]) != FREE and self._ids[position] != raw:
            entry = (entry + 1) & mask
        return entry

    def _unlink(self, entry: int) -> None:
        """Free the entry; those behind it that it kept from their own place move up."""
        table, mask = self._table, len(self._table) - 1
        free, at = entry, (entry + 1) & mask
        while (position := table[at]) != FREE:
            home = hash(self[int(position)]) & mask
            if (at - home) & mask >= (at - free) & mask:
                table[free], free = position, at
            at = (at + 1) & mask
        table[free] = FREE
