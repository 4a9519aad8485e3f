"""What the tests of the checkout share: events as the scripts write them, a gateway as a process, what streams say."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
from redis.asyncio import Redis

from common import keys
from common.cluster_map import ClusterMap, StoreConfig
from common.ledger import ABSENT, Ledger, Put
from common.records import FaceRecord, pack_vectors, standing_of
from common.types import DLIB_SPACE, Kind
from common.visits import person_of
from deploy.client.events import Message
from deploy.local.children import start_child
from deploy.local.embedded_redis import free_port
from tests.conftest import REPOSITORY
from tests.gateway.in_process import unit

PATIENCE_S = 30.0


async def eventually(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.01)


async def open_store(redis: Redis, store: str = "A") -> StoreConfig:
    return await ClusterMap(redis).create(StoreConfig(store, shard="s1", created=time.time()))


async def put_face(
    redis: Redis, store: StoreConfig, face_id: str, kind: Kind = Kind.VISITOR, member_id: str | None = None
) -> str:
    """Its person key."""
    record = FaceRecord(unit(1)[0], DLIB_SPACE, kind, 1.0, 1.0, 1, member_id=member_id)
    put = Put(face_id, record.pack(), pack_vectors(unit(1)), ABSENT, standing=standing_of(record))
    await Ledger(redis).commit(store.store, store.incarnation, puts=[put])
    return person_of(store, face_id)


async def announce(
    redis: Redis, store: str, person: str = "~v00", kind: str = "arrival", at_ms: int = 0, **marks: str
) -> str:
    """As the scripts write it; the event's id."""
    fields: Any = {"t": kind, "k": person, "a": at_ms or int(1000 * time.time())} | marks
    event_id: Any = await redis.xadd(keys.events(store), fields, maxlen=10_000, approximate=True)
    return str(event_id.decode())


@dataclass(frozen=True)
class Gateway:
    child: subprocess.Popen[bytes]
    url: str

    def wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/healthz", trust_env=False).is_success:
                    return
            time.sleep(0.05)
        raise AssertionError("the gateway does not answer")


@contextlib.contextmanager
def gateway_process(redis_url: str, port: int | None = None, **settings: object) -> Iterator[Gateway]:
    """`python -m gateway` without encoders, killed at the end."""
    port = port or free_port()
    chosen = {"port": port, "redis_url": redis_url, "encoder_workers": 0, "drain_s": 0.2} | settings
    env = {name: value for name, value in os.environ.items() if not name.startswith("FACEGRID_")}
    env |= {f"FACEGRID_{name.upper()}": str(value) for name, value in chosen.items()}
    child = start_child([sys.executable, "-m", "gateway"], env=env | {"PYTHONPATH": str(REPOSITORY)})
    gateway = Gateway(child, f"http://127.0.0.1:{port}")
    try:
        gateway.wait_until_it_answers()
        yield gateway
    finally:
        child.kill()
        child.wait()


async def messages(response: httpx.Response) -> AsyncIterator[Message]:
    """Server-sent events with data; comments and what only names an id are passed over."""
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        name, _, value = line.partition(": ")
        if line:
            fields[name] = value
            continue
        if "data" in fields:
            yield Message(fields["event"], fields["id"], fields["data"])
        fields = {}
