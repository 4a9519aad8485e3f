"""Fixtures for everyone: a real Redis-protocol server with the durability settings of deploy/redis.conf."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from redis.asyncio import Redis

from common.truth import connect
from deploy.local.embedded_redis import free_port, start_embedded_redis

REPOSITORY = Path(__file__).parents[1]
FACES = REPOSITORY.parent / "shared" / "faces"

settings.register_profile("facegrid", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("facegrid")
"""No made-up case fails for the time it takes: a machine that others use may stand still for a moment."""

signal.signal(signal.SIGINT, signal.default_int_handler)
"""A shell that starts the suite in the background has it ignore Ctrl-C, and so would every process that tests start."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--operations", type=int, default=3000, help="how many operations the model test does")
    parser.addoption("--seed", type=int, default=None, help="the model test's choices; default: others each time")


@pytest.fixture(scope="session")
def redis_server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    server = start_embedded_redis(tmp_path_factory.mktemp("redis"), port)
    yield f"redis://127.0.0.1:{port}/0"
    server.kill()
    server.wait()


@pytest.fixture
async def redis(redis_server_url: str) -> AsyncIterator[Redis]:
    """A client of the server, which is empty at the start of each test."""
    client = connect(redis_server_url, timeout_s=5)
    await client.flushall()
    yield client
    await client.aclose()


@pytest.fixture
def redis_url(redis: Redis, redis_server_url: str) -> str:  # noqa: ARG001  # asking for it also empties the server
    return redis_server_url


@pytest.fixture(scope="session")
def faces() -> Path:
    """The folder of real photos; tests that need it skip where it is absent."""
    if not FACES.is_dir():
        pytest.skip(f"no folder of real photos at {FACES}")
    return FACES
