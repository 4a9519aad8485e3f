"""Reading hashes and sets page by page: the only code that asks Redis to scan.

Redis's own cursor is a place in a table whose order depends on a seed of the server process: to a server that was
started again, or that took over, it is another place, and all that lies between is passed over without a word. So a
cursor that leaves here names the process too, and one of another process begins again from the start: whatever is there
from the first page to the last appears, and may appear twice.

Rejected: asking for the process in a command of its own; between the two the connection may be another's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from redis.asyncio import Redis

from common.truth import truth

PROCESS = 8
"""characters of a server's run_id"""
CURSOR = f"([0-9a-f]{{{PROCESS}}}-)?[0-9]{{1,19}}"
"""19 digits: whatever matches fits into the 64 bits that Redis has for it"""
START = "0"


async def hash_page(redis: Redis, key: str, cursor: str, count: int) -> tuple[str | None, Mapping[bytes, bytes]]:
    """About `count` fields from `cursor` (START, or one that came from here), and the next cursor; None at the end."""
    return await _page(redis, cursor, lambda pipe, place: pipe.hscan(key, cursor=place, count=count))


async def set_page(redis: Redis, key: str, cursor: str, count: int) -> tuple[str | None, list[bytes]]:
    """As `hash_page`."""
    return await _page(redis, cursor, lambda pipe, place: pipe.sscan(key, cursor=place, count=count))


async def whole_hash(redis: Redis, key: str, count: int) -> AsyncIterator[Mapping[bytes, bytes]]:
    """All pages."""
    cursor: str | None = START
    while cursor is not None:
        cursor, found = await hash_page(redis, key, cursor, count)
        yield found


async def hash_step(redis: Redis, key: str, place: int, count: int) -> tuple[int, Mapping[bytes, bytes]]:
    """For those who go round and round (0: the start, the end): what a new server makes them miss, the next round
    has."""
    with truth():
        following: int
        found: Any
        following, found = await redis.hscan(key, cursor=place, count=count)
    return following, found


Ask = Callable[[Any, int], object]
"""puts the command that scans from a place into a pipeline"""


async def _page(redis: Redis, cursor: str, ask: Ask) -> tuple[str | None, Any]:
    known, _, digits = cursor.rpartition("-")
    place = int(digits)
    process, following, found = await _asked(redis, ask, place)
    if place and process != known:
        process, following, found = await _asked(redis, ask, 0)
    return f"{process}-{following}" if following else None, found


async def _asked(redis: Redis, ask: Ask, place: int) -> tuple[str, int, Any]:
    """The server process, the next place, and what was found, all by one connection."""
    with truth():
        pipe = redis.pipeline(transaction=False)
        pipe.info("server")
        ask(pipe, place)
        about, (following, found) = await pipe.execute()
    return str(about["run_id"])[:PROCESS], following, found
