"""A store that is deleted takes nobody's identity, and nobody's count, from other stores along."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from redis.asyncio import Redis

from common.types import Vectors
from tests.gateway.in_process import Cluster, cluster, unit
from tests.gateway.remains import naming
from tests.gateway.test_sight import sight, until_served

YESTERDAY = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()


async def report(running: Cluster, store: str) -> dict[str, Any]:
    response = await running.http.get("/v1/footfall", params={"store": store, "from": YESTERDAY})
    assert response.status_code == 200, response.text
    total: dict[str, Any] = response.json()["stores"][0]["total"]
    return {name: total[name] for name in ("pv", "uv", "members")}


async def until_known(running: Cluster, store: str, probe: Vectors) -> None:
    async with asyncio.timeout(10):
        while (await sight(running, store, probe))[0]["outcome"] == "pending":
            await asyncio.sleep(0.02)


async def test_visits_elsewhere_stay_counted_as_they_were_and_name_nobody(redis_url: str, redis: Redis) -> None:
    async with cluster(redis_url, shards=2) as running:
        for store, shard in (("A", "s1"), ("B", "s2")):
            await running.create(store, shard=shard)
        await until_served(running)
        await running.enrol("A", unit(1), face_id="eve-of-staff", kind="staff")
        await running.enrol("A", unit(2), face_id="ada-at-a")
        await running.enrol("B", unit(3), face_id="ada-at-b")
        await running.enrol("A", unit(4), face_id="a-visitor")
        await running.http.put("/v1/members/c-1", json={"display_name": "Ada"})
        for store, face_id in (("A", "ada-at-a"), ("B", "ada-at-b")):
            bound = await running.http.put(f"/v1/members/c-1/faces/{store}/{face_id}")
            assert bound.status_code == 200, bound.text
        for seed in (1, 3, 4):
            await until_known(running, "B", unit(seed))
        before = await report(running, "B")
        assert before == {"pv": 2, "uv": 2, "members": 1}
        assert (await running.http.delete("/v1/stores/A")).status_code == 409
        assert (await running.http.delete("/v1/stores/A?force=true")).status_code == 204
        assert await report(running, "B") == before
        for name in (b"eve-of-staff", b"ada-at-a", b"a-visitor"):
            assert await naming(redis, name) == set()
