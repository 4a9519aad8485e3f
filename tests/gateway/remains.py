"""Where in Redis something is still named, and a fault at any step of a sequence of writes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest
from redis.asyncio import Redis

from common.errors import TruthUnavailable


async def naming(redis: Redis, what: bytes) -> set[str]:
    """Every key of the server that has `what` in its name, a field, or a value, whatever its type."""
    found = {
        key async for key in redis.scan_iter(count=1000) if what in key or what in repr_of(await _read(redis, key))
    }
    return {key.decode() for key in found}


async def _read(redis: Redis, key: bytes) -> Any:
    match await redis.type(key):
        case b"string":
            return await redis.get(key)
        case b"hash":
            return await redis.hgetall(key)
        case b"set":
            return await redis.smembers(key)
        case b"zset":
            return await redis.zrange(key, 0, -1)
        case b"stream":
            return await redis.xrange(key)
        case b"none":
            return b""  # it expired
        case other:
            raise AssertionError(f"{key!r} is a {other!r}: read it here too")


def repr_of(value: Any) -> bytes:
    """All bytes in a nested answer of Redis, one after the other."""
    match value:
        case bytes():
            return value + b"\0"
        case dict():
            return b"".join(repr_of(part) for pair in value.items() for part in pair)
        case list() | tuple() | set() | frozenset():
            return b"".join(repr_of(part) for part in value)
        case _:
            return b""


class Fault:
    """Raises TruthUnavailable instead of the call number `at` (0: the first) of any of the methods, and at all that
    follow while it is `on`: as if Redis had gone away, or the process had died, before that step."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, methods: Iterable[tuple[type, str]], at: int) -> None:
        self.calls = 0
        self.at = at
        self.on = True
        for owner, name in methods:
            monkeypatch.setattr(owner, name, self._faulty(getattr(owner, name)))

    @property
    def struck(self) -> bool:
        return self.calls > self.at

    def _faulty(self, real: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def step(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            if self.on and self.struck:
                raise TruthUnavailable("Redis: gone; nothing was changed.", outcome="unchanged")
            return await real(*args, **kwargs)

        return step
