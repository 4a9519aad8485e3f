"""One store's rows in memory, as they lie: contiguous float32, row n belongs to the nth face, no gaps.

A delete moves the last row into the gap, so `rows[:n]` is always all of it and Faiss searches it without an index
object (`faiss.knn` over the slice: exact, nothing to build, nothing to keep in step). Freed rows are zeroed: an erased
face leaves nothing behind here either. Beside the rows lies how many photos are behind it, and who a face is,
for members and staff only: most faces are visitors, of whom there is nothing to say.

Not locked. Searches run on threads (Faiss releases the GIL); the gate keeps the one writer away from them.

Scores come in two kinds. Faiss nominates by float32 sums, whose last bits depend on the processor and on how many
probes came together; what leaves is `exact_scores`: the dot product in float64, rounded once to float32. The same
row and probe give the same score in every gallery, batch and replica.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from types import MappingProxyType

import faiss
import numpy as np
import numpy.typing as npt

from common.types import VISITOR, KnownAs, Vectors

FIRST_ROWS = 16
EXACT_BLOCK = 4096
"""rows scored in float64 at once: 4 MB at d = 128"""

Positions = npt.NDArray[np.int64]
ALL_VISITORS: Mapping[str, KnownAs] = MappingProxyType({})


def use_one_openmp_thread() -> None:
    """Call it on each search thread: OpenMP counts per calling thread, and the cores are shared out by the threads."""
    faiss.omp_set_num_threads(1)


class Gallery:
    def __init__(self, dimension: int) -> None:
        self._rows: Vectors = np.zeros((FIRST_ROWS, dimension), dtype=np.float32)
        self._photos = np.ones(FIRST_ROWS, dtype=np.uint8)
        self._face_ids: list[str] = []
        self._position: dict[str, int] = {}
        self._known: dict[str, KnownAs] = {}
        """of the faces that are no visitors"""

    def __len__(self) -> int:
        return len(self._face_ids)

    @property
    def dimension(self) -> int:
        return int(self._rows.shape[1])

    @property
    def rows(self) -> Vectors:
        """(n, d), a view that the next write invalidates."""
        return self._rows[: len(self._face_ids)]

    def face_id(self, position: int) -> str:
        return self._face_ids[position]

    def photos(self, positions: Positions) -> list[int]:
        """How many are behind each of these rows."""
        counts: list[int] = self._photos[positions].tolist()
        return counts

    def known_as(self, face_id: str) -> KnownAs:
        return self._known.get(face_id, VISITOR)

    def digest(self) -> str:
        """Equal for galleries with the same faces and, to the bit, the same rows, in whatever order they lie, known as
        the same: replicas that answer differently about who somebody is have different digests.

        The sum of the faces' hashes: a million faces take about two seconds.
        """
        total = 0
        for face_id, row in zip(self._face_ids, self.rows, strict=True):
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
        positions = [self._place(face_id) for face_id in face_ids]
        if len(self._face_ids) > len(self._rows):
            self._grow(max(len(self._face_ids), 2 * len(self._rows)))
        self._rows[positions] = rows  # the last one counts where a position is repeated
        self._photos[positions] = 1 if photos is None else photos
        if known or self._known:
            for face_id in face_ids:
                self._know(face_id, known.get(face_id, VISITOR))

    def _grow(self, capacity: int) -> None:
        rows, photos = self._rows, self._photos
        self._rows = np.zeros((capacity, self.dimension), dtype=np.float32)
        self._rows[: len(rows)] = rows
        self._photos = np.ones(capacity, dtype=np.uint8)
        self._photos[: len(rows)] = photos

    def _know(self, face_id: str, known_as: KnownAs) -> None:
        if known_as == VISITOR:
            self._known.pop(face_id, None)
        else:
            self._known[face_id] = known_as

    def _place(self, face_id: str) -> int:
        """The face's position, the next one for a new face; `put` makes room for its row."""
        position = self._position.setdefault(face_id, len(self._face_ids))
        if position == len(self._face_ids):
            self._face_ids.append(face_id)
        return position

    def drop(self, face_ids: Iterable[str]) -> None:
        """Remove the faces; one that is not here is gone already."""
        for face_id in face_ids:
            position = self._position.pop(face_id, None)
            self._know(face_id, VISITOR)
            if position is not None:
                self._fill(position)

    def _fill(self, position: int) -> None:
        last = len(self._face_ids) - 1
        moved = self._face_ids.pop()
        if position != last:
            self._rows[position] = self._rows[last]
            self._photos[position] = self._photos[last]
            self._face_ids[position] = moved
            self._position[moved] = position
        self._rows[last] = 0

    def nominate(self, probes: Vectors, width: int) -> tuple[Vectors, Positions]:
        """Per probe of (q, d) the `width` rows that look best: float32 scores and positions, both (q, width), best
        first; where there are fewer rows the positions end in -1.

        The seam for approximate codes: whatever nominates, the exact scores decide.
        """
        return faiss.knn(probes, self.rows, width, metric=faiss.METRIC_INNER_PRODUCT)

    def exact_scores(self, probe: Vectors, positions: Positions | None = None) -> Vectors:
        """The scores (m,) of the rows at `positions`, or of all rows, against the probe (d,)."""
        rows = self.rows if positions is None else self._rows[positions]
        blocks = [_exact(rows[at : at + EXACT_BLOCK], probe) for at in range(0, len(rows), EXACT_BLOCK)]
        return np.concatenate(blocks) if blocks else np.empty(0, dtype=np.float32)


def face_digest(face_id: str, row: Vectors, known_as: KnownAs = VISITOR) -> int:
    """What one face with the row (d,) adds to `Gallery.digest`."""
    kind, member_id = known_as
    who = f"{face_id}\0{kind}\0{member_id or ''}\0"
    return int.from_bytes(blake2b(who.encode() + row.tobytes(), digest_size=16).digest(), "big")


def _exact(rows: Vectors, probe: Vectors) -> Vectors:
    # A product of two float32 is exact in float64, and numpy adds each row's d products in an order that depends on d
    # alone; BLAS would not promise that.
    products = np.multiply(rows, probe, dtype=np.float64)
    scores: Vectors = products.sum(axis=1).astype(np.float32)
    return scores
