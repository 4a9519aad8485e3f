"""Running a service in the foreground: settings from the environment, logs to stderr, uvicorn on uvloop and httptools.

SIGTERM and Ctrl-C drain: no new connections, what is being answered is finished. The access log is off: paths name
stores and faces.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import TypeVar

import uvicorn
import uvloop
from fastapi import FastAPI
from pydantic import ValidationError
from redis.asyncio import Redis

from common.errors import FacegridError
from common.settings import GatewaySettings, ShardSettings
from common.truth import connect

DRAIN_S = 10
IDLE_S = 75
"""a kept connection may rest that long"""
BACKLOG = 1024
Chosen = TypeVar("Chosen", GatewaySettings, ShardSettings)


def serve(settings_type: type[Chosen], create_app: Callable[[Chosen, Redis], FastAPI]) -> int:
    """Serve until a signal; returns the status: 0, 130 on Ctrl-C, 1 for a port that is taken, 2 for bad settings."""
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
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn drains, then raises the signal again
    with listener, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(_serve(settings, create_app, listener))
        except KeyboardInterrupt:
            return 130
    return 0


def _complain(what: str, status: int) -> int:
    print(f"facegrid: {what}", file=sys.stderr)
    return status


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)


def _log_as(name: str) -> None:
    logging.basicConfig(format=f"%(asctime)s {name} %(levelname)s %(name)s: %(message)s", level=logging.INFO)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for every call would bury the rest


async def _serve(settings: Chosen, create_app: Callable[[Chosen, Redis], FastAPI], listener: socket.socket) -> None:
    redis = connect(settings.redis_url, settings.redis_timeout_s)
    config = uvicorn.Config(
        create_app(settings, redis),
        loop="none",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=DRAIN_S,
    )
    try:
        await uvicorn.Server(config).serve(sockets=[listener])
    finally:
        await redis.aclose()
