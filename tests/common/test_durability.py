"""What a server's settings promise, asked of a real server."""

from __future__ import annotations

from redis.asyncio import Redis

from common.durability import durability_lacks
from common.truth import connect
from deploy.local.embedded_redis import free_port


async def test_a_server_that_may_lose_or_forget_writes_is_named_with_its_settings(redis: Redis) -> None:
    assert await durability_lacks(redis) is None
    await redis.config_set("appendfsync", "everysec")
    await redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        lacks = await durability_lacks(redis)
    finally:
        await redis.config_set("appendfsync", "always")
        await redis.config_set("maxmemory-policy", "noeviction")
    assert lacks == "appendfsync is everysec, not always, maxmemory-policy is allkeys-lru, not noeviction"


async def test_a_server_that_keeps_its_settings_to_itself_is_said_to(redis: Redis, redis_url: str) -> None:
    await redis.acl_setuser("guest", enabled=True, passwords=["+word"], keys=["*"], commands=["+@all", "-config"])
    guest = connect(redis_url.replace("://", "://guest:word@"), timeout_s=5)
    lacks = await durability_lacks(guest)
    await guest.aclose()
    await redis.acl_deluser("guest")
    assert lacks == "it does not let its settings be read"


async def test_a_server_that_is_away_is_left_to_those_who_need_it() -> None:
    assert await durability_lacks(connect(f"redis://127.0.0.1:{free_port()}", timeout_s=5)) is None
