"""Running a service in the foreground: settings from the environment, logs to stderr, uvicorn on uvloop and httptools.

How it ends. SIGTERM: the app's `drain` runs (everybody is told, and the grace passes; `common/drain`), then it stops
listening, what is being answered is finished, and the lifespan ends. Ctrl-C: the same without the grace. A second
signal of either kind ends the process at once, as if it had been killed.

The access log is off: paths name stores and faces.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

import uvicorn
import uvloop
from fastapi import FastAPI
from pydantic import ValidationError
from redis.asyncio import Redis

from common.connection import Connection
from common.drain import Drain
from common.errors import FacegridError
from common.settings import GatewaySettings, ShardSettings
from common.truth import connect

FINISH_S = 10
"""how long requests that run when it stops listening may take to end"""
IDLE_S = 75
"""a kept connection may rest that long"""
COLLECTED_AFTER = (5000, 20, 100)
"""the garbage collector's turns: with Python's own (700, 10, 10) they took a tenth of a search or more"""
BACKLOG = 1024
Chosen = TypeVar("Chosen", GatewaySettings, ShardSettings)


def serve(
    settings_type: type[Chosen],
    create_app: Callable[[Chosen, Redis], FastAPI],
    connection: type[Connection] = Connection,
) -> int:
    """Serve until a signal; returns the status: 0, 130 on Ctrl-C, 1 for a port that is taken, 2 for bad settings or
    models.

    The app has its `Drain` as `app.state.drain`. `connection` is what each client's is.
    """
    try:
        settings = settings_type()
    except ValidationError as error:
        wrong = (f"FACEGRID_{'_'.join(map(str, one['loc'])).upper()}: {one['msg']}" for one in error.errors())
        return _complain("; ".join(wrong), 2)
    except FacegridError as error:
        return _complain(f"{error.title}. {error.detail}", 2)
    try:
        listener = _listen(settings.host, settings.port)
    except OSError as error:
        return _complain(f"Cannot listen on {settings.host}:{settings.port}: {os.strerror(error.errno or 0)}.", 1)
    _log_as(settings.name)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until the server has its own handler
    with listener, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            return runner.run(_serve(settings, create_app, connection, listener))
        except KeyboardInterrupt:
            return 130
        except FacegridError as error:  # a model that cannot be used
            return _complain(f"{error.title}. {error.detail}", 2)


def _complain(what: str, status: int) -> int:
    print(f"facegrid: {what}", file=sys.stderr)
    return status


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)


def _log_as(name: str) -> None:
    logging.basicConfig(format=f"%(asctime)s {name} %(levelname)s %(name)s: %(message)s", level=logging.INFO)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for every call would bury the rest


class _Server(uvicorn.Server):
    """Drains before it stops listening; uvicorn by itself stops listening first."""

    def __init__(self, config: uvicorn.Config, drain: Drain) -> None:
        super().__init__(config)
        self.asked_by: int | None = None
        self._drain = drain
        self._loop = asyncio.get_running_loop()
        self._draining: asyncio.Task[None] | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  # as uvicorn calls it
        """uvicorn has set this as the handler of both signals."""
        if self.asked_by is not None:
            signal.signal(sig, signal.SIG_DFL)
            os.kill(os.getpid(), sig)
            return
        self.asked_by = sig
        if sig == signal.SIGTERM and self.started:
            self._loop.call_soon_threadsafe(self._begin)
        else:
            self.should_exit = True

    def _begin(self) -> None:
        self._draining = self._loop.create_task(self._leave())

    async def _leave(self) -> None:
        try:
            await self._drain.run()
        finally:
            self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """uvicorn stops listening here, and waits for what is still being answered."""
        self._drain.end()
        await super().shutdown(sockets)


async def _serve(
    settings: Chosen,
    create_app: Callable[[Chosen, Redis], FastAPI],
    connection: type[Connection],
    listener: socket.socket,
) -> int:
    redis = connect(settings.redis_url, settings.redis_timeout_s)
    app = create_app(settings, redis)
    config = uvicorn.Config(
        app,
        loop="none",
        http=connection,
        ws="none",
        lifespan="off",  # entered here: uvicorn would log a traceback of what is wrong with a model, and lose the error
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nothing here depends on who the client is
        backlog=BACKLOG,
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=FINISH_S,
    )
    server = _Server(config, app.state.drain)
    try:
        with server.capture_signals():
            async with app.router.lifespan_context(app):
                gc.collect()
                gc.freeze()  # what is there now stays; looking through it again and again took a third of a search
                gc.set_threshold(*COLLECTED_AFTER)
                await server.serve(sockets=[listener])
    finally:
        await redis.aclose()
    return 130 if server.asked_by == signal.SIGINT else 0
