"""The shard service as an ASGI app. Key check first, then the size limit: neither reads a body it refuses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from redis.asyncio import Redis

from common.direct import Direct
from common.drain import LastAnswers
from common.http import NO_TELEMETRY, Admission, BodyLimit, OfAWebSite, WithoutKey, install_problems
from common.settings import ShardSettings
from shard.replica import Replica
from shard.routes import calls, router
from shard.short_calls import ShortCalls


def create_app(settings: ShardSettings, redis: Redis) -> FastAPI:
    """The replica that `settings` names; it follows and announces while the lifespan is entered. `redis` stays the
    caller's to close."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.replica = replica
        async with replica.running():
            yield

    replica = Replica(settings, redis)

    app = FastAPI(
        title="Facegrid shard",
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=lifespan,
        telemetry=NO_TELEMETRY,
    )
    install_problems(app)
    app.include_router(router)
    app.include_router(calls)
    refusal = WithoutKey([settings.cluster_key]) if settings.cluster_key else OfAWebSite(settings.url)
    app.add_middleware(BodyLimit, limit=settings.wire_bytes)
    app.add_middleware(Admission, refusal=refusal)  # innermost first
    app.add_middleware(LastAnswers, drain=replica.drain)
    app.state.direct = Direct(app, replica.drain, refusal, settings.wire_bytes, calls)
    app.state.drain = replica.drain
    app.state.short_calls = ShortCalls(replica.searcher, replica.drain, refusal)
    return app
