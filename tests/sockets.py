"""An app behind a real socket, as `common/serve` would serve it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import uvicorn
from starlette.types import ASGIApp
from uvicorn.server import ServerState

from common.connection import Connection


@contextlib.asynccontextmanager
async def dialled(
    host: str, port: int, patience_s: float
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection, for as long as that at most."""
    reader, writer = await asyncio.open_connection(host, port)
    async with asyncio.timeout(patience_s):
        yield reader, writer
    writer.close()


@contextlib.asynccontextmanager
async def listening(app: ASGIApp, connections: list[Connection] | None = None) -> AsyncIterator[int]:
    """Its port. The lifespan is the caller's to enter. Who connects is added to `connections`."""
    config = uvicorn.Config(app, log_config=None, ws="none", lifespan="off")
    config.load()
    state, loop = ServerState(), asyncio.get_running_loop()
    made = [] if connections is None else connections

    def connected() -> Connection:
        made.append(Connection(config, state, {}, loop))
        return made[-1]

    server = await loop.create_server(connected, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
