"""`python -m shard`: one replica in the foreground, with its settings from `FACEGRID_*`. SIGTERM drains and ends it."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys

import uvicorn
import uvloop
from pydantic import ValidationError
from redis.asyncio import Redis

from common.errors import FacegridError
from common.limits import check_name
from common.settings import ShardSettings
from common.truth import connect
from shard.app import create_app

DRAIN_S = 10
IDLE_S = 75
"""a gateway's connection may rest that long"""
BACKLOG = 1024


def main() -> int:
    """Run until a signal; returns the exit status: 0, 1 where the port is taken, 2 where a setting is wrong."""
    try:
        settings = ShardSettings()
        check_name("FACEGRID_SHARD", settings.shard)
        check_name("FACEGRID_REPLICA", settings.replica)
    except ValidationError as error:
        wrong = "; ".join(f"FACEGRID_{str(one['loc'][0]).upper()}: {one['msg']}" for one in error.errors())
        return _complain(wrong, 2)
    except FacegridError as error:
        return _complain(error.detail, 2)
    try:
        redis = connect(settings.redis_url, settings.redis_timeout_s)
    except ValueError:  # its text may quote the URL, and with it a password
        return _complain("FACEGRID_REDIS_URL is no redis://, rediss:// or unix:// URL.", 2)
    try:
        listener = _listen(settings.host, settings.port)
    except OSError as error:
        return _complain(f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}.", 1)
    _log_as(f"{settings.shard}/{settings.replica}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn drains, then raises the signal again
    with listener, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(_serve(settings, redis, listener))
        except KeyboardInterrupt:
            return 130
    return 0


def _complain(what: str, status: int) -> int:
    print(f"shard: {what}", file=sys.stderr)
    return status


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)


def _log_as(name: str) -> None:
    logging.basicConfig(format=f"%(asctime)s {name} %(levelname)s %(name)s: %(message)s", level=logging.INFO)


async def _serve(settings: ShardSettings, redis: Redis, listener: socket.socket) -> None:
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


if __name__ == "__main__":
    sys.exit(main())
