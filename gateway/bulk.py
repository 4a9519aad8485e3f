"""Enrolling many faces in one request, each as `gateway/enrol` would enrol it.

All faces are read and combined before the first of them is written: what can be wrong with the body is known by then.
They are committed in chunks, each of them whole or not at all, several at a time: Redis writes what has arrived
together and calls fsync once for it. A chunk of CHUNK new faces keeps Redis busy for 2.4 ms (one of 1,000: 9 ms, and
12% more faces a second); another request waits for that long at most.

Not all or nothing as a whole: a failure half way leaves the chunks before it. The answer says how many faces are surely
on disk (`committed`), and repeating the request is safe: a face that has all of it already is not written again.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from common.cluster_map import StoreConfig
from common.errors import FaceChanged, FacegridError
from common.ledger import ABSENT, Ledger, Put, StoredFace
from common.records import pack_vectors, standing_of
from gateway.creating import Creator
from gateway.deadline import Deadline
from gateway.enrol import ATTEMPTS, Enrolment, check_same_face, combine

CHUNK = 256
"""faces of one commit, and of one look at what is there"""
IN_FLIGHT = 4
"""commits of one request"""

Place = Literal["line", "row"]


@dataclass(frozen=True, slots=True)
class Bulk:
    faces: Sequence[tuple[str, Enrolment]]
    """each face_id once"""
    place: Place
    places: Sequence[int]
    """where in the body each face began"""

    @contextmanager
    def naming(self, nth: int) -> Iterator[None]:
        """For errors of the nth face."""
        with naming(self.place, self.places[nth]):
            yield


@contextmanager
def naming(place: Place, at: int) -> Iterator[None]:
    """An error inside the block says where in the body."""
    try:
        yield
    except FacegridError as error:
        error.detail = f"{place.capitalize()} {at}: {error.detail}"
        error.extra[place] = at
        raise


@dataclass(slots=True)
class BulkDone:
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    version: int = 0
    """of the store, at which all of it is there"""

    @property
    def committed(self) -> int:
        return self.created + self.updated + self.unchanged


@dataclass(frozen=True, slots=True)
class Chunk:
    """Faces by their places in the body, what they were, and what is to be written of them."""

    faces: Sequence[int]
    stored: Sequence[StoredFace | None]
    puts: Sequence[Put]
    created: int


class BulkEnroller:
    """One request's work; made anew for each."""

    def __init__(self, ledger: Ledger, creator: Creator, store: StoreConfig, bulk: Bulk, deadline: Deadline) -> None:
        self._ledger = ledger
        self._creator = creator
        self._store = store
        self._bulk = bulk
        self._deadline = deadline
        self._left = deque[Chunk]()
        self._done = BulkDone()

    async def run(self) -> BulkDone:
        """Raises FaceBound, SpaceChanging, ZeroVector (templates that cancel out), DeadlineExceeded, and nothing is
        changed then; once writing has begun FaceChanged, FaceBound, SpaceChanging, UnknownStore, ErasureUnfinished
        and TruthUnavailable, with the number of faces that are `committed`."""
        count = len(self._bulk.faces)
        for at in range(0, count, CHUNK):
            self._left.append(await self._prepare(range(at, min(at + CHUNK, count))))
        self._deadline.waive()
        ended = await asyncio.gather(*(self._commit_all() for _ in range(IN_FLIGHT)), return_exceptions=True)
        failures = [one for one in ended if one is not None]
        if failures:
            raise self._explained(failures)
        return self._done

    async def _prepare(self, faces: Sequence[int], before: Chunk | None = None) -> Chunk:
        """What the faces at these places shall be, by what they are now. One that was there `before` and was erased
        must not come back."""
        stored = await self._ledger.stored(self._store.store, [self._bulk.faces[nth][0] for nth in faces])
        began_on = stored if before is None else before.stored
        now, puts, created = time.time(), list[Put](), 0
        for nth, began, present in zip(faces, began_on, stored, strict=True):
            face_id, new = self._bulk.faces[nth]
            try:
                check_same_face(began, present)
                put = put_of(face_id, present, new, self._store.space, now)
            except FacegridError:
                with self._bulk.naming(nth):
                    raise
            if put is not None:
                puts.append(put)
                created += present is None
        return Chunk(faces, stored, puts, created)

    async def _commit_all(self) -> None:
        """One of those who share the work; after a failure nobody begins anything."""
        try:
            while self._left:
                await self._commit(self._left.popleft())
        except FacegridError:
            self._left.clear()
            raise

    async def _commit(self, chunk: Chunk) -> None:
        for attempt in range(ATTEMPTS):
            try:
                self._note(chunk, await self._write(chunk.puts))
            except FaceChanged:
                if attempt == ATTEMPTS - 1 or not self._deadline.remaining_s():
                    raise
                chunk = await self._prepare(chunk.faces, chunk)
            else:
                return

    async def _write(self, puts: Sequence[Put]) -> int:
        """The store's version after it; where others wrote all of it, one that has that."""
        if not puts:
            return await self._ledger.version(self._store.store)
        return (await self._creator.commit(self._store, puts, self._deadline)).version

    def _note(self, chunk: Chunk, version: int) -> None:
        self._done.created += chunk.created
        self._done.updated += len(chunk.puts) - chunk.created
        self._done.unchanged += len(chunk.faces) - len(chunk.puts)
        self._done.version = max(self._done.version, version)

    def _explained(self, failures: Sequence[BaseException]) -> BaseException:
        """The first failure, with what is on disk all the same."""
        error = next((one for one in failures if not isinstance(one, FacegridError)), failures[0])
        if isinstance(error, FacegridError):
            committed, count = self._done.committed, len(self._bulk.faces)
            unsure = any(one.extra.get("outcome") == "unknown" for one in failures if isinstance(one, FacegridError))
            error.detail += f" {committed} of {count} faces are on disk; repeating the request is safe."
            error.extra |= {"committed": committed, "outcome": "unknown" if unsure or committed else "unchanged"}
        return error


def put_of(face_id: str, present: StoredFace | None, new: Enrolment, space: str, now: float) -> Put | None:
    """What to write of one face; None where it has all of it already. Raises as `combine` does."""
    record, templates = combine(present, new, space, now)
    if present is None:
        return Put(face_id, record.pack(), pack_vectors(templates), ABSENT, standing=standing_of(record))
    old = present.record
    packed = pack_vectors(templates)
    if (old.kind, old.labels, present.templates) == (record.kind, record.labels, packed):
        return None
    return Put(face_id, record.pack(), packed, present.raw, standing=standing_of(record))
