"""The truth about faces: the only code that reads or writes a store's faces in Redis.

Commit is one Lua script on one cluster slot (`commit.lua`): it compares, writes the records and appends one feed entry
a changed face, `n-0` for version n, without gaps. Load notes the feed's last version, scans the hash, and leaves the
rest to following: entries name *which* face changed, so applying one twice, or late, ends in the same state.

Rejected: locks (two round trips and a timeout to get wrong), and biometric data in the feed (a stream keeps history,
an erased face must not).
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from redis.asyncio import Redis

from common import keys
from common.errors import (
    ErasureUnfinished,
    FaceChanged,
    FacegridError,
    SightingsWaiting,
    SpaceChanging,
    UnknownStore,
    VersionConflict,
)
from common.incarnations import anonymous, creation, person_key
from common.records import FaceRecord, templates_beside, templates_of
from common.scan import hash_page, whole_hash
from common.truth import truth

ANY = b"*"
ABSENT = b""
NO_THUMBNAIL = b"-"
LOAD_BATCH = 1000
IDLE = "idle"


class Put(NamedTuple):
    """One face to write, and the record it must replace: ANY, ABSENT, or the record's bytes as they were read."""

    face_id: str
    record: bytes
    templates: bytes
    replaces: bytes = ANY
    thumbnail: bytes = b""
    """JPEG; empty: the one that was kept stays; NO_THUMBNAIL: it goes"""
    standing: str = ""
    """as `common.records.standing_of` says"""
    seen_ms: int | None = None
    """its last sighting; None: now"""


@dataclass(frozen=True, slots=True)
class Delete:
    """One face to erase, under which name its visits are kept from then on, and how recent a sighting keeps it."""

    face_id: str
    rekey_to: str = ""
    """a person key; empty: a name that nobody can trace back"""
    unless_seen_after_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Committed:
    version: int
    deleted: int


@dataclass(frozen=True, slots=True)
class StoredFace:
    """A face as it stands in Redis; `raw` is the record's bytes, for `Put.replaces`."""

    raw: bytes
    record: FaceRecord
    templates: bytes

    @classmethod
    def read(cls, raw: bytes, beside: bytes | None) -> StoredFace:
        record = FaceRecord.unpack(raw)
        return cls(raw, record, templates_of(record, beside))


class Ledger:
    def __init__(self, redis: Redis, feed_length: int = 100_000) -> None:
        self._redis = redis
        self._feed_length = feed_length
        self._commit = redis.register_script((Path(__file__).parent / "commit.lua").read_text())

    async def commit(
        self,
        store: str,
        incarnation: str,
        *,
        puts: Sequence[Put] = (),
        deletes: Sequence[Delete] = (),
        expected_version: int | None = None,
        waiting: str = "",
    ) -> Committed:
        """Write all of it or nothing; returns once it is on disk (append-only file, fsync always).

        `waiting`: IDLE, not while sightings wait; or the id of the one that this settles, only while that one waits.

        Raises VersionConflict if the store is not at `expected_version`, SightingsWaiting if `waiting` is not so,
        FaceChanged if a put's face is not the one it replaces, ErasureUnfinished if it creates one under the id of
        another whose job was not done once (see `common.rekeys`; `face_ids`: under which), UnknownStore if the store
        (or this creation of it) is gone, SpaceChanging if it changed its space, TruthUnavailable.
        """
        expected: Any = "" if expected_version is None else expected_version
        now_ms = int(time.time() * 1000)
        packed = _pack_puts(puts, now_ms)
        arguments: list[Any] = [incarnation, expected, self._feed_length, waiting, packed]
        for delete in deletes:
            job = _rekey_job(store, incarnation, delete, now_ms)
            before: Any = "" if delete.unless_seen_after_ms is None else delete.unless_seen_after_ms
            arguments += [delete.face_id, job, before]
        with truth(outcome="unknown"):
            status, version, answer = await self._commit(
                keys=[keys.incarnation(store), *keys.of_faces(store)], args=arguments
            )
        match status:
            case b"OK":
                return Committed(version, answer)
            case b"VERSION":
                raise VersionConflict(
                    f"Store {store} is at version {version}, not {expected_version}.", field="expected_version"
                )
            case b"WAITING":
                raise SightingsWaiting(f"Earlier sightings at {store} still wait for shards.", field="store")
            case b"FACE":
                raise FaceChanged("The face was written by another request meanwhile.", field="face_id")
            case b"UNFINISHED":
                raise ErasureUnfinished(
                    f"What others at store {store} left, who had these ids and are gone, is still being removed.",
                    face_ids=[face_id.decode() for face_id in answer],
                    outcome="unchanged",
                )
            case _:
                raise await gone(self._redis, store, incarnation)

    async def version(self, store: str) -> int:
        """The store's last version; 0 before its first commit."""
        with truth():
            return _last_version(await self._redis.xrevrange(keys.feed(store), count=1))

    async def versions(self, stores: Sequence[str]) -> dict[str, int]:
        """Each store's last version, read in one round trip."""
        with truth():
            pipe = self._redis.pipeline(transaction=False)
            for store in stores:
                pipe.xrevrange(keys.feed(store), count=1)
            answers = await pipe.execute()
        return {store: _last_version(entries) for store, entries in zip(stores, answers, strict=True)}

    async def face(self, store: str, face_id: str) -> StoredFace | None:
        return (await self.faces([(store, face_id)]))[0]

    async def faces(self, named: Sequence[tuple[str, str]]) -> list[StoredFace | None]:
        """(store, face_id) of any stores, each as it is now, in one round trip. Records are read before templates: who
        replaces what was read fails if it was written in between."""
        with truth():
            pipe = self._redis.pipeline(transaction=False)
            for store, face_id in named:
                pipe.hget(keys.faces(store), face_id)
                pipe.hget(keys.templates(store), face_id)
            found = await pipe.execute()
        pairs = zip(found[::2], found[1::2], strict=True)
        return [None if raw is None else StoredFace.read(raw, beside) for raw, beside in pairs]

    async def stored(self, store: str, face_ids: Sequence[str]) -> list[StoredFace | None]:
        """The faces named, each as it is now; None for one that is not there. Templates are asked for where there is a
        face: most that are looked for so are to be new."""
        with truth():
            raws: Any = await self._redis.hmget(keys.faces(store), list(face_ids))
            there = [face_id for face_id, raw in zip(face_ids, raws, strict=True) if raw is not None]
            if not there:
                return [None] * len(face_ids)
            pipe = self._redis.pipeline(transaction=True)
            pipe.hmget(keys.faces(store), there)
            pipe.hmget(keys.templates(store), there)
            found = dict(zip(there, zip(*await pipe.execute(), strict=True), strict=True))
        pairs = (found.get(face_id, (None, None)) for face_id in face_ids)
        return [None if raw is None else StoredFace.read(raw, beside) for raw, beside in pairs]

    async def is_current(self, store: str, incarnation: str) -> bool:
        """Whether what was read of the store before is of this incarnation: one that is over never comes back."""
        with truth():
            present: Any = await self._redis.get(keys.incarnation(store))
        return present is not None and present.decode() == incarnation

    async def thumbnail(self, store: str, face_id: str) -> bytes | None:
        with truth():
            jpeg: Any = await self._redis.hget(keys.thumbnails(store), face_id)
        return bytes(jpeg) if jpeg is not None else None

    async def counts(self, stores: Sequence[str]) -> dict[str, int]:
        """Each store's number of faces, read in one round trip."""
        with truth():
            pipe = self._redis.pipeline(transaction=False)
            for store in stores:
                pipe.hlen(keys.faces(store))
            answers = await pipe.execute()
        return dict(zip(stores, answers, strict=True))

    async def page(self, store: str, cursor: str, limit: int) -> tuple[str | None, dict[str, FaceRecord]]:
        """About `limit` faces from `cursor` and the next cursor, as `common.scan` has them. Every face that is there
        throughout appears; one may appear twice."""
        following, raws = await hash_page(self._redis, keys.faces(store), cursor, limit)
        return following, _records(raws)

    async def stored_page(self, store: str, cursor: str, limit: int) -> tuple[str | None, dict[str, StoredFace]]:
        """As `page`, with the faces' templates."""
        following, raws = await hash_page(self._redis, keys.faces(store), cursor, limit)
        face_ids = [face_id.decode() for face_id in raws]
        found = await self.stored(store, face_ids) if face_ids else []
        return following, {face_id: face for face_id, face in zip(face_ids, found, strict=True) if face is not None}

    async def load(self, store: str) -> AsyncIterator[list[tuple[str, FaceRecord]]]:
        """Every face of the store, in batches. Note `version` first and follow from there."""
        async for raws in whole_hash(self._redis, keys.faces(store), LOAD_BATCH):
            yield list(_records(raws).items())

    async def changes_since(self, store: str, version: int) -> tuple[int, dict[str, FaceRecord]] | None:
        """The store's last version and the faces written since `version` that are still there, as they are now; None
        where the feed no longer goes back so far."""
        with truth():
            entries: Any = await self._redis.xrange(keys.feed(store), min=f"{version + 1}-0")
        if not entries:
            return version, {}
        if int(entries[0][0].split(b"-")[0]) != version + 1:
            return None
        face_ids = list(dict.fromkeys(fields[b"f"].decode() for _, fields in entries))
        found = await self.records(store, face_ids)
        there = {face_id: record for face_id, record in zip(face_ids, found, strict=True) if record is not None}
        return int(entries[-1][0].split(b"-")[0]), there

    async def records(self, store: str, face_ids: Sequence[str]) -> list[FaceRecord | None]:
        """The faces named, as they are now; None for one that is gone."""
        with truth():
            found: Any = await self._redis.hmget(keys.faces(store), list(face_ids))
        return [None if raw is None else FaceRecord.unpack(raw) for raw in found]


def _records(raws: Mapping[bytes, bytes]) -> dict[str, FaceRecord]:
    return {face_id.decode(): FaceRecord.unpack(raw) for face_id, raw in raws.items()}


def _rekey_job(store: str, incarnation: str, delete: Delete, now_ms: int) -> str:
    person = person_key(store, incarnation, delete.face_id)
    return json.dumps({"from": person, "to": delete.rekey_to or anonymous(), "at": now_ms})


async def gone(redis: Redis, store: str, incarnation: str) -> FacegridError:
    """What to tell a writer that meant another incarnation of the store than there is now."""
    with truth():
        present: Any = await redis.get(keys.incarnation(store))
    if present is not None and creation(present.decode()) == creation(incarnation):
        return SpaceChanging(f"Store {store} has changed its embedding space; nothing was changed.", field="store")
    return UnknownStore(f"Store {store} does not exist any more.", field="store")


def _pack_puts(puts: Sequence[Put], now_ms: int) -> bytes:
    """The puts as `commit.lua` reads them: each field after its length. One argument: the client takes a microsecond
    for each that it has to write."""
    now = b"%d" % now_ms
    parts: list[bytes] = []
    for put in puts:
        for part in (
            put.face_id.encode(),
            _fingerprint(put.replaces),
            put.record,
            templates_beside(put.record, put.templates),
            put.thumbnail,
            put.standing.encode(),
            now if put.seen_ms is None else b"%d" % put.seen_ms,
        ):
            parts += (len(part).to_bytes(4, "little"), part)
    return b"".join(parts)


def _fingerprint(replaces: bytes) -> bytes:
    # SHA-1 because it is what Redis's Lua offers; it detects change here, it protects nothing.
    if replaces in (ANY, ABSENT):
        return replaces
    return hashlib.sha1(replaces, usedforsecurity=False).hexdigest().encode()


def _last_version(entries: Any) -> int:
    return int(entries[0][0].split(b"-")[0]) if entries else 0
