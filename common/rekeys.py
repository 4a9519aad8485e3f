"""What is left to do for a face that is gone: the only code that reads or writes those jobs in Redis.

A face is erased, or merged into another, by one commit at its home store, which leaves a job there in the same moment:
under which name its visits are kept from now on, and at which stores they are. So nothing that dies afterwards loses
track of them. A job is changed only by those who saw it as it is: two that work at one agree on the same name.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from common import keys
from common.cluster_map import StoreConfig
from common.incarnations import creation
from common.scan import whole_hash
from common.truth import truth

BATCH = 500


@dataclass(frozen=True, slots=True)
class Job:
    """The face `person` of `store` is gone; its visits at home and at `places` shall be kept under `to`."""

    store: str
    face_id: str
    person: str
    to: str
    at_ms: int
    """when the face went"""
    places: tuple[str, ...]
    """other stores that it was seen at"""
    standing: str = "v"
    """what it was: "v" (visitor), or as in `keys.standings`"""
    swept: bool = False
    """done once, and kept for what was on its way at that time"""
    raw: bytes = b""
    """as it stands in Redis"""

    @property
    def erases(self) -> bool:
        """Whether `to` leads to nobody."""
        return self.to.startswith("~")

    @property
    def member_id(self) -> str | None:
        return self.standing.partition(":")[2] or None

    @classmethod
    def read(cls, store: str, face_id: str, raw: bytes) -> Job:
        read = json.loads(raw)
        places = tuple(filter(None, read["places"].split(",")))
        standing, swept = read.get("standing", "v"), read.get("swept", False)
        return cls(store, face_id, read["from"], read["to"], int(read["at"]), places, standing, swept, raw)

    def written(self) -> bytes:
        return json.dumps(
            {
                "from": self.person,
                "to": self.to,
                "at": self.at_ms,
                "places": ",".join(self.places),
                "standing": self.standing,
                "swept": self.swept,
            }
        ).encode()


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """What the home store keeps of a face's sightings, ms; None: there were none."""

    places: tuple[str, ...]
    origin_ms: int | None
    seen_ms: int | None


class Rekeys:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        here = Path(__file__).parent
        self._job = redis.register_script((here / "rekey_job.lua").read_text())
        self._carry = redis.register_script((here / "carry.lua").read_text())

    async def job(self, store: str, face_id: str) -> Job | None:
        with truth():
            raw: Any = await self._redis.hget(keys.rekeys(store), face_id)
        return None if raw is None else Job.read(store, face_id, raw)

    async def jobs_of(self, store: str, face_ids: Sequence[str]) -> list[Job]:
        """Those of the faces named that are gone; at least one has to be named."""
        with truth():
            found: Any = await self._redis.hmget(keys.rekeys(store), list(face_ids))
        return [Job.read(store, at, raw) for at, raw in zip(face_ids, found, strict=True) if raw is not None]

    async def jobs(self, store: str) -> AsyncIterator[list[Job]]:
        """All jobs of the store, in batches; one may appear twice."""
        async for found in whole_hash(self._redis, keys.rekeys(store), BATCH):
            yield [Job.read(store, face_id.decode(), raw) for face_id, raw in found.items()]

    async def with_jobs(self, stores: Sequence[str]) -> list[str]:
        """Those of the stores that have any."""
        with truth():
            pipe = self._redis.pipeline(transaction=False)
            for store in stores:
                pipe.hlen(keys.rekeys(store))
            answers = await pipe.execute()
        return [store for store, jobs in zip(stores, answers, strict=True) if jobs]

    async def change(self, present: Job, new: Job) -> Job | None:
        """The job as it stands then; None if it was not `present` any more, and nothing is changed."""
        written = new.written()
        with truth(outcome="unknown"):
            done = await self._job(keys=[keys.rekeys(present.store)], args=[present.face_id, present.raw, written])
        return replace(new, raw=written) if done else None

    async def done(self, job: Job) -> None:
        """Forget the job, if it still is this one."""
        with truth(outcome="unknown"):
            await self._job(keys=[keys.rekeys(job.store)], args=[job.face_id, job.raw, b""])

    async def whereabouts(self, store: str, face_id: str) -> Whereabouts:
        with truth():
            pipe = self._redis.pipeline(transaction=True)
            pipe.hget(keys.places(store), face_id)
            pipe.hget(keys.origins(store), face_id)
            pipe.zscore(keys.seen(store), face_id)
            places, origin, seen = await pipe.execute()
        listed = tuple(places.decode().split(",")) if places else ()
        return Whereabouts(listed, None if origin is None else int(origin), None if seen is None else int(seen))

    async def carry(self, home: StoreConfig, face_id: str, places: Iterable[str], origin_ms: int | None) -> bool:
        """Add to what `home` keeps of the face: where else it was seen, and when first. False: the face is gone."""
        origin: Any = "" if origin_ms is None else origin_ms
        elsewhere = [place for place in places if place != home.store]
        store = home.store
        with truth(outcome="unknown"):
            done = await self._carry(
                keys=[keys.incarnation(store), keys.faces(store), keys.origins(store), keys.places(store)],
                args=[creation(home.incarnation), face_id, origin, *elsewhere],
            )
        return bool(done)

    async def known_elsewhere(self, store: str) -> list[str]:
        """The store's faces that were seen at other stores, or that a member's list may name: all staff too, because
        "s" alone once was also said of those that are bound."""
        with truth():
            pipe = self._redis.pipeline(transaction=False)
            pipe.hkeys(keys.places(store))
            pipe.hgetall(keys.standings(store))
            seen, standings = await pipe.execute()
        bound = [face_id for face_id, standing in standings.items() if standing != b"m"]
        return sorted(face_id.decode() for face_id in {*seen, *bound})

    async def forget_announced(self, told: Mapping[str, Iterable[str]]) -> None:
        """Store → persons: forget that its checkout was told of them."""
        with truth(outcome="unknown"):
            pipe = self._redis.pipeline(transaction=False)
            for store, persons in told.items():
                for person in persons:
                    pipe.unlink(keys.announced(store, person))
            await pipe.execute()
