"""A store on its way to another embedding space: the only code that reads or writes that in Redis.

    begin ──► stage, in batches ──► flip (one script) ──► the map gets space and incarnation (`gateway.migration`)

What is staged lies beside the faces until the flip puts it in their place. Nobody sees it before, so searches and
writes go on in the old space. A commit that changes a face drops what is staged of it (`commit.lua`), and staging
compares with the face as it is (`stage.lua`); so all are staged, and of the faces as they are, as soon as as many are
staged as there are faces. That alone decides. How far a migration has come (`Migration`) only says where to look next,
and may be wrong: several can work at the same one, die anywhere, and be repeated.

The flip gives the store a new incarnation, so that nothing prepared for the old space is accepted any more: no commit,
sighting or probe to keep, and no replica answers for it. Its first characters stay (`common.ledger.creation`): visits
and members name persons by those, and go on. Until the map says the new incarnation too, replicas search the rows they
have, and writes are refused (SpaceChanging). Who flips writes the map entry next; where that died, the leader does, to
whom `keys.FLIPS` names the stores to look at.

Probes that wait cannot be re-encoded, so the flip waits until they are settled: dropping them would lose visits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from common import keys
from common.cluster_map import StoreConfig
from common.errors import Conflict
from common.ledger import gone
from common.records import templates_beside
from common.scan import hash_step, set_page
from common.truth import truth

BATCH = 128
"""faces looked at together"""
SCANNED = -1
"""a cursor: every face has been looked at once, and those that changed since are what is left"""


@dataclass(frozen=True, slots=True)
class Migration:
    """Where to look for faces that are not staged yet: from a cursor of the faces' hash on, then in the feed."""

    to: str
    """the space"""
    cursor: int
    version: int
    """the feed is read up to it"""


@dataclass(frozen=True, slots=True)
class Flipped:
    """What a flip made of a store."""

    space: str
    dimension: int
    incarnation: str


@dataclass(frozen=True, slots=True)
class Unstaged:
    face_id: str
    raw: bytes
    """its record as it was read"""
    thumbnail: bytes | None
    """JPEG"""


@dataclass(frozen=True, slots=True)
class Staged:
    """A face as it shall be, and the record that this was made from."""

    face_id: str
    made_from: bytes
    record: bytes
    templates: bytes
    """empty: it is left behind"""


@dataclass(frozen=True, slots=True)
class Counts:
    faces: int
    staged: int
    to_photograph: int
    """those of the staged that have no usable thumbnail; without a migration, those that the last one left behind"""
    waiting: int
    """sightings"""


class Flip(StrEnum):
    """What became of a flip; only FLIPPED has changed anything."""

    FLIPPED = "OK"
    CHANGED = "CHANGED"
    """faces are not staged (any more)"""
    PHOTOS = "PHOTOS"
    """faces would be left behind"""
    WAITING = "WAITING"
    """sightings wait"""


class Migrations:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        here = Path(__file__).parent
        self._begin = redis.register_script((here / "migration_begin.lua").read_text())
        self._stage = redis.register_script((here / "stage.lua").read_text())
        self._flip = redis.register_script((here / "flip.lua").read_text())

    async def begin(self, store: StoreConfig, to: str, dimension: int) -> Migration:
        """The store's migration to this space; one to another space is given up, with what it staged. `to` the space
        that the store has: only that. Raises UnknownStore, SpaceChanging (flipped already), TruthUnavailable."""
        name = store.store
        wanted = "" if to == store.space else to
        if wanted:  # noted before it can be flipped, so that a flip is never nobody's
            with truth():
                await self._redis.sadd(keys.FLIPS, _note(name, store.incarnation))
        with truth(outcome="unknown"):
            answer: list[Any] = await self._begin(
                keys=[keys.incarnation(name), keys.feed(name), keys.migration(name), *_staged(name)],
                args=[store.incarnation, wanted, dimension],
            )
        if answer[0] != b"OK":
            raise await gone(self._redis, name, store.incarnation)
        return Migration(to, int(answer[1]), int(answer[2]))

    async def target(self, store: StoreConfig) -> str | None:
        """The space that a migration of the store as it is leads to; None: there is none."""
        source, to = await self._read(store.store, "from", "to")
        return to if source == store.incarnation else None

    async def flipped_into(self, store: StoreConfig) -> Flipped | None:
        """What the store is, where its map entry still says what it was before."""
        source, to, dimension, into = await self._read(store.store, "from", "to", "dimension", "into")
        return Flipped(to, int(dimension), into) if into and source == store.incarnation else None

    async def noted(self) -> list[tuple[str, str]]:
        """(store, incarnation) of those that may be flipped away from it, or were, and are not known to be in the map
        as what they are then. One that was given up stays listed until its store has another incarnation, or none."""
        with truth():
            found: Any = await self._redis.smembers(keys.FLIPS)
        pairs = (member.decode().partition("/") for member in found)
        return sorted((store, incarnation) for store, _, incarnation in pairs)

    async def strike(self, store: str, incarnation: str) -> None:
        """Take it from the list; only once the map says another incarnation, or has no such store: neither comes
        back."""
        with truth(outcome="unknown"):
            await self._redis.srem(keys.FLIPS, _note(store, incarnation))

    async def _read(self, store: str, *fields: str) -> list[str]:
        with truth():
            found: Any = await self._redis.hmget(keys.migration(store), list(fields))
        return [(value or b"").decode() for value in found]

    async def following(self, store: str, migration: Migration) -> tuple[Migration, list[str]]:
        """The next faces to look at, and how far the migration is once they are staged. None that the feed names, and
        no entry more: everything was looked at."""
        if migration.cursor != SCANNED:
            cursor, found = await hash_step(self._redis, keys.faces(store), migration.cursor, BATCH)
            step = Migration(migration.to, cursor or SCANNED, migration.version)
            return step, [face_id.decode() for face_id in found]
        with truth():
            entries: Any = await self._redis.xrange(keys.feed(store), min=f"{migration.version + 1}-0", count=BATCH)
        if not entries:
            return migration, []
        first, last = (int(entries[at][0].split(b"-")[0]) for at in (0, -1))
        if first != migration.version + 1:  # trimmed meanwhile
            return Migration(migration.to, 0, last), []
        face_ids = dict.fromkeys(fields[b"f"].decode() for _, fields in entries)
        return Migration(migration.to, SCANNED, last), list(face_ids)

    async def unstaged(self, store: str, face_ids: Sequence[str]) -> list[Unstaged]:
        """Those of the faces that are there and not staged."""
        if not face_ids:
            return []
        with truth():
            pipe = self._redis.pipeline(transaction=True)
            pipe.hmget(keys.faces(store), list(face_ids))
            pipe.hmget(keys.staged_faces(store), list(face_ids))
            pipe.hmget(keys.thumbnails(store), list(face_ids))
            rows = zip(face_ids, *await pipe.execute(), strict=True)
        return [Unstaged(face_id, raw, jpeg) for face_id, raw, staged, jpeg in rows if raw is not None and not staged]

    async def stage(self, store: StoreConfig, faces: Sequence[Staged], migration: Migration, *, done: bool) -> None:
        """Keep these, without those that changed since they were read; `done`: the migration has come so far with them.

        Raises UnknownStore, SpaceChanging (flipped already), Conflict (another migration was begun), TruthUnavailable.
        """
        name = store.store
        position: list[Any] = [migration.cursor, migration.version] if done else ["", ""]
        arguments: list[Any] = [store.incarnation, migration.to, *position]
        for face in faces:
            made_from = hashlib.sha1(face.made_from, usedforsecurity=False).hexdigest()  # as in the ledger's commits
            arguments += [face.face_id, made_from, face.record, templates_beside(face.record, face.templates)]
        with truth(outcome="unknown"):
            answer: bytes = await self._stage(
                keys=[keys.incarnation(name), keys.faces(name), keys.migration(name), *_staged(name)], args=arguments
            )
        await self._check(store, answer)

    async def flip(self, store: StoreConfig, to: str, into: str, *, leave_behind: bool) -> Flip:
        """Put what is staged in the place of the faces, under the incarnation `into`. Raises like `stage`."""
        name = store.store
        current = [keys.faces(name), keys.templates(name), keys.left_behind(name)]
        with truth(outcome="unknown"):
            answer: bytes = await self._flip(
                keys=[keys.incarnation(name), keys.migration(name), keys.pending(name), *current, *_staged(name)],
                args=[store.incarnation, to, into, "leave" if leave_behind else ""],
            )
        await self._check(store, answer)
        return Flip(answer.decode())

    async def _check(self, store: StoreConfig, answer: bytes) -> None:
        if answer == b"GONE":
            raise await gone(self._redis, store.store, store.incarnation)
        if answer == b"OTHER":
            raise Conflict(f"Another migration of store {store.store} was begun meanwhile.", field="to")

    async def counts(self, store: str, *, under_way: bool) -> Counts:
        left = keys.staged_left_behind(store) if under_way else keys.left_behind(store)
        with truth():
            pipe = self._redis.pipeline(transaction=True)
            pipe.hlen(keys.faces(store))
            pipe.hlen(keys.staged_faces(store))
            pipe.scard(left)
            pipe.xlen(keys.pending(store))
            return Counts(*await pipe.execute())

    async def to_photograph(
        self, store: str, cursor: str, count: int, *, under_way: bool
    ) -> tuple[str | None, list[str]]:
        """About `count` of those that `Counts.to_photograph` counts from `cursor`, and the next cursor, as
        `common.scan` has them; one may appear twice."""
        key = keys.staged_left_behind(store) if under_way else keys.left_behind(store)
        following, found = await set_page(self._redis, key, cursor, count)
        return following, sorted({face_id.decode() for face_id in found})


def _note(store: str, incarnation: str) -> str:
    return f"{store}/{incarnation}"


def _staged(store: str) -> list[str]:
    return [keys.staged_faces(store), keys.staged_templates(store), keys.staged_left_behind(store)]
