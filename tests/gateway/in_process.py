"""A whole cluster in one process: real shard apps behind the gateway's transport, on a real Redis-protocol server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import httpx
import numpy as np
from fastapi import FastAPI

from common.errors import ShardUnreachable
from common.settings import GatewaySettings, ShardSettings
from common.truth import connect
from common.types import Vectors
from gateway.app import create_app as create_gateway
from gateway.services import Services
from gateway.transport import Reply
from shard.app import create_app as create_shard
from tests.conformance import checked, page_of_the_gateway

D = 128


class Hung(httpx.AsyncBaseTransport):
    """A replica that takes the call and never answers."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError(request)


class ShardApps(httpx.AsyncBaseTransport):
    """Routes calls by host name to ASGI apps; a host in `faults` answers what its function says instead.

    Stands in for the gateway's own transport, whose dealings with real sockets test_transport.py tests.
    """

    def __init__(self) -> None:
        self.apps: dict[str, httpx.AsyncBaseTransport] = {}
        self.faults: dict[str, Callable[[httpx.Request], httpx.Response]] = {}

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> Reply:
        try:
            async with httpx.AsyncClient(transport=self) as http:
                response = await http.post(url, content=body, headers=headers, timeout=None)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise ShardUnreachable(f"{url}: {type(error).__name__}.") from error
        return Reply(response.status_code, response.headers.get("content-type", ""), response.content)

    async def close(self) -> None:
        """Nothing is kept open."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        if host in self.faults:
            return self.faults[host](request)
        if host not in self.apps:
            raise httpx.ConnectError("nobody listens here", request=request)
        return await self.apps[host].handle_async_request(request)


@dataclass(frozen=True)
class Cluster:
    http: httpx.AsyncClient
    gateway: FastAPI
    shards: ShardApps

    @property
    def services(self) -> Services:
        found: Services = self.gateway.state.services
        return found

    async def create(self, store: str, **settings: object) -> None:
        response = await self.http.put(f"/v1/stores/{store}", json=settings)
        assert response.status_code == 201, response.text

    async def enrol(self, store: str, rows: Vectors, **body: object) -> dict[str, object]:
        response = await self.http.post(f"/v1/stores/{store}/faces", json={"embeddings": rows.tolist(), **body})
        assert response.status_code in {200, 201}, response.text
        answer: dict[str, object] = response.json()
        return answer


@contextlib.asynccontextmanager
async def shard_app(redis_url: str, shards: ShardApps, shard: str, replica: str = "a") -> AsyncIterator[FastAPI]:
    """One shard replica, reachable under the host name `<shard>-<replica>` while the block runs."""
    host = f"{shard}-{replica}"
    settings = ShardSettings(
        redis_url=redis_url, shard=shard, replica=replica, advertise_url=f"http://{host}", heartbeat_s=0.05
    )
    redis = connect(redis_url, timeout_s=5)
    app = create_shard(settings, redis)
    async with app.router.lifespan_context(app):
        shards.apps[host] = httpx.ASGITransport(app)
        yield app
        shards.apps.pop(host, None)
    await redis.aclose()


@contextlib.asynccontextmanager
async def gateway_app(settings: GatewaySettings, shards: ShardApps) -> AsyncIterator[Cluster]:
    redis = connect(settings.redis_url, settings.redis_timeout_s)
    app = create_gateway(settings, redis, shards)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=transport, base_url="http://127.0.0.1", event_hooks=checked(page_of_the_gateway())
        ) as http,
    ):
        yield Cluster(http, app, shards)
    await redis.aclose()


@contextlib.asynccontextmanager
async def cluster(redis_url: str, shards: int = 3, replicas: int = 1, **settings: object) -> AsyncIterator[Cluster]:
    """Shards s1, s2, … with replicas a, b, …, and one gateway without encoders (unless the settings say otherwise)."""
    apps = ShardApps()
    chosen = {"encoder_workers": 0, "view_refresh_s": 0.05} | settings
    async with contextlib.AsyncExitStack() as stack:
        for shard in range(1, shards + 1):
            for replica in range(replicas):
                await stack.enter_async_context(shard_app(redis_url, apps, f"s{shard}", "abcdef"[replica]))
        running = await stack.enter_async_context(
            gateway_app(GatewaySettings.model_validate({"redis_url": redis_url} | chosen), apps)
        )
        await until_ready(running)
        yield running


async def until_ready(running: Cluster) -> None:
    async with asyncio.timeout(10):
        while (await running.http.get("/readyz")).status_code != 200:
            await asyncio.sleep(0.01)


def unit(seed: int, count: int = 1) -> Vectors:
    """`count` random unit vectors, (count, 128)."""
    rows = np.random.default_rng(seed).normal(size=(count, D))
    return np.ascontiguousarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)
