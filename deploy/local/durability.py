"""Does a server that somebody else set up keep what it acknowledged? Asked once, at start; nothing depends on it."""

from __future__ import annotations

from redis import Redis
from redis.exceptions import RedisError, ResponseError

PROMISED = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
"""the settings of `deploy/redis.conf` on which a promise of Facegrid rests"""
TIMEOUT_S = 2.0


def durability_lacks(url: str) -> str | None:
    """Which settings of the server break the promise, as a phrase; None if none does, or it cannot be reached now."""
    try:
        with Redis.from_url(
            url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, decode_responses=True
        ) as it:
            found: dict[str, str] = it.config_get(*PROMISED)
    except ResponseError:
        return "it does not let its settings be read"
    except (RedisError, OSError, ValueError):  # ValueError: no URL at all, of which the service complains itself
        return None
    wrong = [
        f"{name} is {found.get(name)}, not {value}" for name, value in PROMISED.items() if found.get(name) != value
    ]
    return ", ".join(wrong) or None
