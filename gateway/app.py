"""The gateway as an ASGI app: stateless, so run as many as you like.

`create_app(settings, redis, transport)` takes everything it talks to as arguments; tests hand it the transport to real
shard apps in the same process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from importlib.metadata import version
from typing import Any
from uuid import uuid4

from fastapi import FastAPI
from redis.asyncio import Redis
from starlette.formparsers import MultiPartParser

from common.cluster_map import ClusterMap
from common.drain import Drain, LastAnswers
from common.durability import durability_lacks
from common.errors import TruthUnavailable
from common.http import BodyLimit, KeyCheck, LocalOnly, install_problems
from common.lease import Lease
from common.ledger import Ledger
from common.settings import GatewaySettings
from common.tasks import end
from gateway.catalogue import Catalogue
from gateway.encoder import EncoderPool
from gateway.enrol import Enroller
from gateway.erasures import Erasures
from gateway.identify import Identifier
from gateway.leader import Leader, Reach
from gateway.mover import Mover
from gateway.replica_set import ReplicaSet
from gateway.router import Router
from gateway.routes import docs, erasures, faces, health, metrics, placement, search, stores, verify
from gateway.services import Services
from gateway.shard_client import ShardClient
from gateway.transport import AiohttpTransport, Transport
from gateway.view import ClusterView

log = logging.getLogger("facegrid.gateway")

DESCRIPTION = """Face search for retail chains: members, returning visitors and strangers, across the stores of a chain.

Enrol faces in a **store**; identify a photo at a store: its own gallery first, the other stores of its group on a miss.
A verdict is `match`, `no_match` or `inconclusive`; `no_match` is said only when every store in scope was searched.
Errors are RFC 9457 problem bodies with a stable `code`."""


def create_app(settings: GatewaySettings, redis: Redis, transport: Transport | None = None) -> FastAPI:
    """The app; its lifespan starts the encoders and the view, so enter it before the first request."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            app.state.services = await _start(settings, redis, transport, drain, stack)
            yield

    drain = Drain(settings.drain_s)
    # Photos stay in memory: the multipart parser must not spool biometric data to a temporary file.
    MultiPartParser.spool_max_size = settings.body_bytes
    app = FastAPI(
        title="Facegrid", version=version("facegrid"), description=DESCRIPTION, lifespan=lifespan, redoc_url=None
    )
    install_problems(app)
    for routes in (health, metrics, stores, placement, faces, erasures, search, verify):
        app.include_router(routes.router)
    _document(app, keyed=bool(settings.keys))
    app.add_middleware(BodyLimit, limit=settings.body_bytes)
    if settings.keys:
        app.add_middleware(KeyCheck, keys=settings.keys)
    else:
        app.add_middleware(LocalOnly)
    app.add_middleware(LastAnswers, drain=drain)
    app.state.drain = drain
    return app


def _document(app: FastAPI, *, keyed: bool) -> None:
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = docs.complete(generate(), keyed=keyed)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the page


async def _start(
    settings: GatewaySettings,
    redis: Redis,
    transport: Transport | None,
    drain: Drain,
    stack: contextlib.AsyncExitStack,
) -> Services:
    lane = AiohttpTransport() if transport is None else transport
    stack.push_async_callback(lane.close)
    encoder = await stack.enter_async_context(EncoderPool(settings)) if settings.encoder_workers else None

    cluster_map, ledger = ClusterMap(redis), Ledger(redis, settings.feed_length)
    view = ClusterView(cluster_map, min(settings.view_refresh_s, settings.redis_timeout_s / 2))
    with contextlib.suppress(TruthUnavailable):  # /readyz says so until Redis is there
        await view.refresh()
    if lacks := await durability_lacks(redis):
        log.warning("Redis may lose faces that it confirmed: %s. See deploy/redis.conf.", lacks)
    refreshing = asyncio.create_task(view.run())
    stack.push_async_callback(end, refreshing)

    client = ShardClient(lane, settings.cluster_key)
    leader = Leader(Lease(redis, uuid4().hex), Reach(cluster_map, ledger, view, client), settings)
    stack.push_async_callback(leader.release)
    stack.push_async_callback(end, asyncio.create_task(leader.run()))

    replica_set = ReplicaSet(client, settings.shard_timeout_s)
    router = Router(view, replica_set)
    return Services(
        settings=settings,
        view=view,
        ledger=ledger,
        catalogue=Catalogue(cluster_map, ledger, view),
        enroller=Enroller(ledger, router),
        identifier=Identifier(view, router, settings.target_fpir),
        encoder=encoder,
        leader=leader,
        mover=Mover(cluster_map, ledger, view),
        erasures=Erasures(view, ledger, replica_set),
        drain=drain,
    )
