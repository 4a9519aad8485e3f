"""The stage of every cell: store A on the healthy shard s1, store B on s2, which the fault hits; two replicas each.

In one process, with real shard apps, a real server that belongs to the cell alone, and gateways whose times are short.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import FastAPI

from common.settings import GatewaySettings
from common.types import Vectors
from deploy.local.embedded_redis import free_port, start_embedded_redis
from tests.gateway.in_process import Cluster, ShardApps, gateway_app, shard_app, unit, until_ready

HEALTHY, HIT = "s1", "s2"
REPLICAS = "ab"
ANN, BOB, CARL, NEW, STRANGER = (unit(seed) for seed in range(5))
TIMES = {
    "redis_timeout_s": 0.6,
    "view_refresh_s": 0.05,
    "lease_s": 0.3,
    "move_grace_s": 0,
    "encoder_workers": 0,
    "deadline_s": 2.6,
}


class Server:
    """The truth, and what can happen to it."""

    def __init__(self, folder: Path) -> None:
        self._data = folder / "data"
        self._copy = folder / "copy"
        self._port = free_port()
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self._process: subprocess.Popen[bytes] = start_embedded_redis(self._data, self._port)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def pause(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def copy(self) -> None:
        """Every acknowledged write is in the append-only file, so a copy of the files is a backup."""
        shutil.copytree(self._data, self._copy)

    def start_with(self, data: str) -> None:
        """Another server at the same address: "copy" or "nothing"."""
        self.kill()
        shutil.rmtree(self._data)
        if data == "copy":
            shutil.copytree(self._copy, self._data)
        self._process = start_embedded_redis(self._data, self._port)


@dataclass
class Scene:
    cluster: Cluster
    server: Server
    apps: dict[str, FastAPI]
    """shard replicas by host name"""
    start_gateway: Callable[[], Awaitable[Cluster]]
    """another gateway on the same shards"""
    version: int = 0
    """of store B, with the last acknowledged write"""
    hit: list[str] = field(default_factory=list)
    """host names of the replicas that the fault hits"""
    move_s: float = 0.0
    """how long a move is watched"""

    async def enrol(self, store: str, row: Vectors, face_id: str) -> None:
        """Repeated while the disk is slower than the short times allow."""
        body = {"embeddings": row.tolist(), "face_id": face_id}
        async with asyncio.timeout(10):
            while (answer := await self.cluster.http.post(f"/v1/stores/{store}/faces", json=body)).status_code == 503:
                await asyncio.sleep(0.05)
        assert answer.is_success, answer.text
        if store == "B":
            self.version = answer.json()["version"]


@contextlib.asynccontextmanager
async def scene(folder: Path, **times: float) -> AsyncIterator[Scene]:
    server = Server(folder)
    apps, shards = dict[str, FastAPI](), ShardApps()
    try:
        async with contextlib.AsyncExitStack() as stack:
            for shard in (HEALTHY, HIT):
                for replica in REPLICAS:
                    host = f"{shard}-{replica}"
                    apps[host] = await stack.enter_async_context(shard_app(server.url, shards, shard, replica))
            settings = GatewaySettings.model_validate({"redis_url": server.url} | TIMES | times)

            async def start_gateway() -> Cluster:
                return await stack.enter_async_context(gateway_app(settings, shards))

            made = Scene(await start_gateway(), server, apps, start_gateway)
            await prepare(made)
            yield made
    finally:
        server.kill()


async def prepare(made: Scene) -> None:
    await until_ready(made.cluster)
    await made.cluster.create("A", shard=HEALTHY)
    await made.cluster.create("B", shard=HIT)
    await made.enrol("A", ANN, "ann")
    await made.enrol("B", BOB, "bob")
    async with asyncio.timeout(10):  # until every replica is seen to have all of it
        while any(replica["lag"] != 0 or replica["rows"] != 1 for replica in await replicas(made)):
            await asyncio.sleep(0.01)


async def replicas(made: Scene) -> list[dict[str, object]]:
    shards = (await made.cluster.http.get("/v1/shards")).json()["shards"]
    return [replica for shard in shards for replica in shard["replicas"]]
