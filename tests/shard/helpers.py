"""What the shard's tests share: rows, a writer to the truth, and a replica that really runs behind its HTTP edge."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import numpy as np
from redis.asyncio import Redis

from common import wire
from common.cluster_map import ClusterMap, StoreConfig
from common.errors import TruthUnavailable
from common.ledger import Delete, Ledger, Put
from common.records import FaceRecord, pack_vectors
from common.rekeys import Rekeys
from common.settings import ShardSettings
from common.truth import connect
from common.types import DLIB_SPACE, VISITOR, Candidate, KnownAs, Vectors
from shard.app import create_app
from shard.gallery import Gallery
from shard.replica import Replica
from shard.shard_index import ServedStore

PATIENCE_S = 20.0


def unit(count: int, seed: int = 0, dimension: int = 128) -> Vectors:
    rows = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    scaled: Vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return scaled


def truth_of(galleries: Mapping[str, Mapping[str, Vectors]], probe: Vectors, top_k: int) -> tuple[Candidate, ...]:
    """The answer by plain numpy: one product, one sort."""
    every = [
        Candidate(store, face_id, float(np.float32((row.astype(np.float64) * probe.astype(np.float64)).sum())))
        for store, faces in galleries.items()
        for face_id, row in faces.items()
    ]
    return tuple(sorted(every, key=lambda c: (-c.score, c.store, c.face_id))[:top_k])


async def eventually(condition: Callable[[], object]) -> None:
    """Wait until the condition holds; fails after a patience that only a fault exceeds."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.01)


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes to the truth as gateways do."""

    redis: Redis
    feed_length: int = 100_000

    async def open(self, store: str, shard: str = "s1", space: str = DLIB_SPACE, dimension: int = 128) -> StoreConfig:
        return await ClusterMap(self.redis).create(StoreConfig(store, shard=shard, space=space, dimension=dimension))

    async def put(
        self,
        config: StoreConfig,
        faces: Mapping[str, Vectors],
        space: str = DLIB_SPACE,
        known_as: KnownAs = VISITOR,
    ) -> int:
        kind, member_id = known_as
        records = [FaceRecord(row, space, kind, 1.0, 1.0, 1, member_id=member_id) for row in faces.values()]
        puts = [
            Put(face_id, record.pack(), pack_vectors(record.row))
            for face_id, record in zip(faces, records, strict=True)
        ]
        return (await self._ledger.commit(config.store, config.incarnation, puts=puts)).version

    async def delete(self, config: StoreConfig, face_ids: Iterable[str]) -> int:
        deletes = [Delete(face_id) for face_id in face_ids]
        done = await self._ledger.commit(config.store, config.incarnation, deletes=deletes)
        rekeys = Rekeys(self.redis)
        for job in await rekeys.jobs_of(config.store, [delete.face_id for delete in deletes]):
            await rekeys.done(job)  # they were seen nowhere
        return done.version

    @property
    def _ledger(self) -> Ledger:
        return Ledger(self.redis, self.feed_length)


@dataclass(frozen=True, slots=True)
class Running:
    replica: Replica
    http: httpx.AsyncClient
    redis: Redis
    known: dict[str, str] = field(default_factory=dict)
    """store → incarnation as last read, like a gateway's view"""

    async def post(self, path: str, body: bytes) -> httpx.Response:
        return await self.http.post(path, content=body, headers={"Content-Type": wire.CONTENT_TYPE})

    async def incarnations(self) -> dict[str, str]:
        """What a gateway would know from the map, also while Redis is away."""
        with contextlib.suppress(TruthUnavailable):
            stores = await ClusterMap(self.redis).stores()
            self.known.update({store: config.incarnation for store, config in stores.items()})
        return self.known

    async def search(self, stores: Iterable[str], probes: Vectors, top_k: int = 5) -> wire.QueryReply:
        incarnations = await self.incarnations()
        asked = {store: incarnations.get(store, "never created") for store in stores}
        call = wire.SearchCall(DLIB_SPACE, (wire.Query(asked, probes, top_k),), remaining_ms=10_000)
        response = await self.post("/search", wire.pack_call(call))
        assert response.status_code == 200, response.text
        return wire.unpack_reply(response.content, call)[0]

    async def reach(self, store: str, version: int, remaining_ms: int = 20_000) -> int:
        incarnation = (await self.incarnations()).get(store, "never created")
        call = wire.AwaitCall(store, incarnation, version, remaining_ms)
        response = await self.post("/await", wire.pack_await(call))
        assert response.status_code == 200, response.text
        return wire.unpack_version(response.content)

    def faces(self, store: str) -> dict[str, Vectors]:
        """What the replica has in memory."""
        gallery = self.replica.index[store].gallery
        return {gallery.face_id(at): gallery.rows[at].copy() for at in range(len(gallery))}


def settings_for(redis_url: str, heartbeat_s: float = 0.2, redis_timeout_s: float = 2.0) -> ShardSettings:
    return ShardSettings(
        redis_url=redis_url, heartbeat_s=heartbeat_s, redis_timeout_s=redis_timeout_s, search_threads=2
    )


@asynccontextmanager
async def running(settings: ShardSettings) -> AsyncIterator[Running]:
    """A replica with its lifespan entered, ready or not, and a client that speaks to it."""
    redis = connect(settings.redis_url, settings.redis_timeout_s)
    app = create_app(settings, redis)
    transport = httpx.ASGITransport(app)
    client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")
    async with app.router.lifespan_context(app), client as http:
        yield Running(app.state.replica, http, redis)
    await redis.aclose()


@asynccontextmanager
async def ready(settings: ShardSettings) -> AsyncIterator[Running]:
    async with running(settings) as one:
        await eventually(lambda: one.replica.follower.state == "ready")
        await one.incarnations()
        yield one


def empty_store(dimension: int = 128, group: str = "default") -> ServedStore:
    return ServedStore("i", DLIB_SPACE, Gallery(dimension), 0, 0, group)
