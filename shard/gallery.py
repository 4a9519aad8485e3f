"""One store's faces in memory: who they are, and where their rows lie.

The rows are a run of slots in `Rows`, which the gallery shares with the others of its group once it is installed there;
while it is loaded it has one of its own. Position n of the gallery is slot `run.start + n`; there are no gaps, a delete
moves the last row into its place. Who a face is is kept for members and staff only: most faces are visitors, of whom
there is nothing to say.

Not locked. Searches run on threads (Faiss releases the GIL); the gate keeps the one writer away from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from itertools import repeat
from types import MappingProxyType

import numpy as np

from common.types import VISITOR, Kind, KnownAs, Vectors
from shard.face_ids import FREE, FaceIds
from shard.rows import Rows

ALL_VISITORS: Mapping[str, KnownAs] = MappingProxyType({})


class Gallery:
    def __init__(self, dimension: int) -> None:
        self.within = Rows(dimension)
        """the rows among which its own lie"""
        self.run = self.within.take(0)
        self.number = 0
        """whose slots they are, in the rows that it shares"""
        self.ids = FaceIds()
        self._known: dict[str, KnownAs] = {}
        """of the faces that are no visitors"""

    def __len__(self) -> int:
        return self.run.count

    @property
    def dimension(self) -> int:
        return self.within.dimension

    @property
    def rows(self) -> Vectors:
        """(n, d), a view that the next write invalidates."""
        return self.within.vectors[self.run.start : self.run.stop]

    def face_id(self, position: int) -> str:
        return self.ids[position]

    def face(self, slot: int) -> tuple[str, KnownAs]:
        """Who it is whose row lies in this slot of the rows that the gallery shares."""
        face_id = self.ids[slot - self.run.start]
        return face_id, self._known.get(face_id, VISITOR) if self._known else VISITOR

    def faces(self, slots: Iterable[int]) -> tuple[list[str], Iterable[Kind], Iterable[str | None]]:
        """The same of several, as columns: face ids, kinds, members."""
        start, known = self.run.start, self._known
        face_ids = self.ids.each([slot - start for slot in slots])
        if not known:
            return face_ids, repeat(Kind.VISITOR), repeat(None)
        who = [known.get(face_id, VISITOR) for face_id in face_ids]
        return face_ids, [kind for kind, _ in who], [member_id for _, member_id in who]

    def known_as(self, face_id: str) -> KnownAs:
        return self._known.get(face_id, VISITOR)

    def move_to(self, rows: Rows, number: int) -> None:
        """Lie in these rows from now on, as their gallery `number`, and give back the room before."""
        run = rows.take(self.run.count)
        rows.copy_from(run, number, self.within, self.run)
        self.within.give_back(self.run)
        self.within, self.run, self.number = rows, run, number
        self.ids.trim()

    def leave(self) -> None:
        """Give its room back; nothing may be asked of it any more."""
        self.within.give_back(self.run)

    def digest(self) -> str:
        """Equal for galleries with the same faces and, to the bit, the same rows, in whatever order they lie, known as
        the same: replicas that answer differently about who somebody is have different digests.

        The sum of the faces' hashes: a million faces take about two seconds.
        """
        total = 0
        for face_id, row in zip(self.ids.every(), self.rows, strict=True):
            total += face_digest(face_id, row, self.known_as(face_id))
        return f"{total % 2**128:032x}"

    def put(
        self,
        face_ids: Sequence[str],
        rows: Vectors,
        known: Mapping[str, KnownAs] = ALL_VISITORS,
        photos: Sequence[int] | None = None,
    ) -> None:
        """Add or replace the faces' rows, (n, d) of unit length; of a face named twice the last row counts. Those that
        are not in `known` are visitors, whatever they were. `photos`: behind each row; None: one each.

        Raises ValueError, and changes nothing, for another shape or where NaN or infinity would enter.
        """
        if rows.shape != (len(face_ids), self.dimension) or not np.isfinite(rows).all():
            raise ValueError(f"{len(face_ids)} faces need as many rows of {self.dimension} finite numbers")
        positions = self.ids.place(face_ids)
        self.within.put(self.run, self.number, positions, rows, 1 if photos is None else photos)
        if known or self._known:
            for face_id in face_ids:
                self._know(face_id, known.get(face_id, VISITOR))

    def _know(self, face_id: str, known_as: KnownAs) -> None:
        if known_as == VISITOR:
            self._known.pop(face_id, None)
        else:
            self._known[face_id] = known_as

    def drop(self, face_ids: Iterable[str]) -> None:
        """Remove the faces; one that is not here is gone already."""
        for face_id in face_ids:
            position = self.ids.drop(face_id)
            self._know(face_id, VISITOR)
            if position != FREE:
                self.within.fill(self.run, position)


def face_digest(face_id: str, row: Vectors, known_as: KnownAs = VISITOR) -> int:
    """What one face with the row (d,) adds to `Gallery.digest`."""
    kind, member_id = known_as
    who = f"{face_id}\0{kind}\0{member_id or ''}\0"
    return int.from_bytes(blake2b(who.encode() + row.tobytes(), digest_size=16).digest(), "big")
