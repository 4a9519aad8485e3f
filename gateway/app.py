"""The gateway as an ASGI app: stateless, so run as many as you like.

`create_app(settings, redis, transport)` takes everything it talks to as arguments; tests hand it the transport to real
shard apps in the same process.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from redis.asyncio import Redis
from starlette.formparsers import MultiPartParser

from common.direct import Direct
from common.drain import Drain, LastAnswers
from common.http import NO_TELEMETRY, Admission, BodyLimit, OfAWebSite, WithoutKey, install_problems
from common.settings import GatewaySettings
from gateway.routes import (
    batch,
    bulk,
    docs,
    enrol,
    erasures,
    events,
    faces,
    footfall,
    health,
    members,
    merge,
    metrics,
    migration,
    placement,
    recognize,
    search,
    sightings,
    spaces,
    stores,
    verify,
    webhooks,
)
from gateway.spaces import Spaces
from gateway.start import Given, start
from gateway.transport import Transport

ROUTES = (
    search,
    batch,
    health,
    metrics,
    stores,
    spaces,
    placement,
    migration,
    enrol,
    faces,
    bulk,
    merge,
    members,
    erasures,
    recognize,
    verify,
    sightings,
    footfall,
    events,
    webhooks,
)
"""in the order of the OpenAPI page, and in which a request is compared with them: what is hot comes first"""

DESCRIPTION = """Face search for retail chains: members, returning visitors and strangers, across the stores of a chain.

Enrol faces in a **store**; identify a photo at a store: its own gallery first, the other stores of its group on a miss.
A verdict is `match`, `no_match` or `inconclusive`; `no_match` is said only when every store in scope was searched.
Errors are RFC 9457 problem bodies with a stable `code`."""


def create_app(settings: GatewaySettings, redis: Redis, transport: Transport | None = None) -> FastAPI:
    """The app; its lifespan starts the encoders and the view, so enter it before the first request.

    Raises what `Spaces.load` raises.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            app.state.services = await start(Given(settings, redis, drain, stack, spaces), transport)
            yield

    spaces = Spaces.load(settings.models)  # here, so that what is wrong with a model is said before anything starts
    drain = Drain(settings.drain_s)
    # Photos stay in memory: the multipart parser must not spool biometric data to a temporary file.
    MultiPartParser.spool_max_size = settings.body_bytes
    app = FastAPI(
        title="Facegrid",
        version=version("facegrid"),
        description=DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,  # to http:// and to whatever host a request names; a path is there or it is not
        docs_url=None,  # below
        redoc_url=None,
        webhooks=webhooks.described,
        telemetry=NO_TELEMETRY,
    )
    install_problems(app)
    for routes in ROUTES:
        app.include_router(routes.router)
    app.add_route("/docs", docs.shown(app), include_in_schema=False)
    _document(app, keyed=bool(settings.keys))
    refusal = WithoutKey(settings.keys) if settings.keys else OfAWebSite()
    app.add_middleware(BodyLimit, limit=settings.body_bytes)
    app.add_middleware(Admission, refusal=refusal)
    app.add_middleware(LastAnswers, drain=drain)
    hot = (search.router, batch.router, sightings.router, enrol.router)
    app.state.direct = Direct(app, drain, refusal, settings.body_bytes, *hot)
    app.state.drain = drain
    return app


def _document(app: FastAPI, *, keyed: bool) -> None:
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = docs.complete(generate(), keyed=keyed)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the page
