"""The connection to Redis, where the truth is.

No automatic retries: a commit sent twice would be two versions. A broken connection is noticed and replaced by the
pool when the next command takes it. Every failure of Redis leaves here as TruthUnavailable, which says whether the
write can have happened (`outcome`: unchanged or unknown).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from redis.asyncio import Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from common.errors import TruthUnavailable

Outcome = Literal["unchanged", "unknown"]


def check_url(url: str) -> None:
    """Raise ValueError, without repeating the URL (it may hold a password), if `connect` could not use it."""
    try:
        parse_url(url)
    except ValueError:
        raise ValueError("must be a redis://, rediss:// or unix:// URL with a host") from None


def connect(url: str, timeout_s: float) -> Redis:
    """A client that answers bytes and waits at most `timeout_s` for a connection or one answer. Connects lazily."""
    return Redis.from_url(
        url, socket_connect_timeout=timeout_s, socket_timeout=timeout_s, retry=Retry(NoBackoff(), 0), protocol=2
    )


@contextmanager
def truth(outcome: Outcome = "unchanged") -> Iterator[None]:
    """Turn any failure of Redis inside the block into TruthUnavailable with this outcome for the caller's write."""
    try:
        yield
    except (RedisError, OSError) as error:
        what = (
            "nothing was changed"
            if outcome == "unchanged"
            else "the write may or may not have happened; look and retry"
        )
        raise TruthUnavailable(f"Redis: {type(error).__name__}; {what}.", outcome=outcome) from error
