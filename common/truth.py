"""The connection to Redis, where the truth is.

No automatic retries: a commit sent twice would be two versions. A broken connection is noticed and replaced by the
pool when the next command takes it. Every failure of Redis leaves here as TruthUnavailable, which says whether the
write can have happened (`outcome`: unchanged or unknown).

With Sentinel (`redis+sentinel://…`) every new connection goes to the server that the Sentinels call the primary at that
moment; nothing is ever read from a replica, which may be behind. Redis replicates after it has answered: what the
primary acknowledged in the last moment before it died can be missing on the one that takes over. The shards notice the
change (its replication id) and load every store again, so nobody serves what the truth has lost; `min-replicas-to-write
1` on the servers keeps a primary that was cut off from acknowledging writes for long.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from redis.asyncio import Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from common.errors import TruthUnavailable
from common.joined import Joined

Outcome = Literal["unchanged", "unknown"]

SENTINEL_SCHEME = "redis+sentinel"
SENTINEL_PORT = 26379
NOT_SENT = (ConnectionRefusedError, MasterNotFoundError)
REFUSED = (
    AuthenticationError,
    BusyLoadingError,
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
)
REFUSED_CODES = ("MISCONF", "NOREPLICAS", "NOAUTH", "NOPERM", "READONLY", "OOM", "LOADING", "MASTERDOWN")
"""what a server says before it begins a command or a script; the client has classes for only some of them"""


@dataclass(frozen=True, slots=True)
class SentinelUrl:
    """redis+sentinel://[user:password@]host[:port][,host[:port]…]/service[/db]; user and password are the servers'."""

    sentinels: tuple[tuple[str, int], ...]
    service: str
    db: int
    username: str | None
    password: str | None

    @classmethod
    def parse(cls, url: str) -> SentinelUrl:
        """Raises ValueError for anything else."""
        parts = urlsplit(url)
        credentials, _, hosts = parts.netloc.rpartition("@")
        username, _, password = credentials.partition(":")
        service, _, db = parts.path.removeprefix("/").partition("/")
        if parts.scheme != SENTINEL_SCHEME or not service or parts.query or parts.fragment:
            raise ValueError("a Sentinel URL names hosts and a service, and nothing after the database")
        return cls(
            tuple(_address(host) for host in hosts.split(",")),
            unquote(service),
            int(db or 0),
            unquote(username) or None,
            unquote(password) or None,
        )


def _address(text: str) -> tuple[str, int]:
    parts = urlsplit("//" + text)
    if not parts.hostname:
        raise ValueError("a host is missing")
    return parts.hostname, SENTINEL_PORT if parts.port is None else parts.port


def check_url(url: str) -> None:
    """Raise ValueError, without repeating the URL (it may hold a password), if `connect` could not use it."""
    try:
        if url.startswith(SENTINEL_SCHEME + ":"):
            SentinelUrl.parse(url)
        else:
            parse_url(url)
    except ValueError:
        raise ValueError(
            "must be a redis://, rediss:// or unix:// URL with a host, or redis+sentinel://host,host/service"
        ) from None


def connect(url: str, timeout_s: float) -> Redis:
    """A client that answers bytes and waits at most `timeout_s` for a connection or one answer. Connects lazily."""
    options: dict[str, Any] = {
        "socket_connect_timeout": timeout_s,
        "socket_timeout": timeout_s,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        # The client's default of 100 would turn a burst of requests into errors; the server's own limit is 10,000.
        "max_connections": 2000,
    }
    if not url.startswith(SENTINEL_SCHEME + ":"):
        return Joined.from_url(url, **options)
    named = SentinelUrl.parse(url)
    servers = options | {"db": named.db, "username": named.username, "password": named.password}
    sentinel = Sentinel(named.sentinels, sentinel_kwargs=options, **servers)  # type: ignore[no-untyped-call]
    primary: Redis = sentinel.master_for(named.service, redis_class=Joined)
    return primary


@contextmanager
def truth(outcome: Outcome = "unchanged", *, refused: Outcome = "unchanged") -> Iterator[None]:
    """Turn any failure of Redis inside the block into TruthUnavailable with this outcome for the caller's write.

    `refused`: the outcome where the server, reached or not, did not even begin the command; "unknown" in a block that
    comes after a write of the same request.
    """
    try:
        yield
    except (RedisError, OSError) as error:
        said: Outcome = refused if _not_begun(error) else outcome
        what = (
            "nothing was changed" if said == "unchanged" else "the write may or may not have happened; look and retry"
        )
        raise TruthUnavailable(f"Redis: {type(error).__name__}; {what}.", outcome=said) from error


def _not_begun(error: BaseException) -> bool:
    """Whether the command was refused, or never sent. A pipeline's error counts only by itself: others in it may have
    been done."""
    if isinstance(error, REFUSED):
        return True
    if isinstance(error, ResponseError):
        return str(error).startswith(REFUSED_CODES)
    return isinstance(error, NOT_SENT) or isinstance(error.__context__, (*NOT_SENT, ReadOnlyError))
