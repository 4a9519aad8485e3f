"""Does the server keep what it acknowledges? Asked once, at start; nothing depends on the answer but a warning."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

PROMISED = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
"""the settings of `deploy/redis.conf` on which a promise of Facegrid rests"""


async def durability_lacks(redis: Redis) -> str | None:
    """Which settings of the server break the promise, as a phrase; None if none does, or it cannot be reached now."""
    try:
        read: Any = await redis.config_get(*PROMISED)
    except ResponseError:
        return "it does not let its settings be read"
    except (RedisError, OSError):
        return None
    found = {_text(name): _text(value) for name, value in read.items()}
    wrong = [
        f"{name} is {found.get(name)}, not {value}" for name, value in PROMISED.items() if found.get(name) != value
    ]
    return ", ".join(wrong) or None


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
