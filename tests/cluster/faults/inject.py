"""The faults of the table, by the name they have there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import httpx

from common import wire
from common.feed import Changes
from shard.follower import Follower
from tests.cluster.faults.scene import CARL, HIT, REPLICAS, Scene
from tests.gateway.in_process import Hung

SLOW_S = 2.0
GARBAGE = b"\xc1"
"""the one byte that MessagePack never uses"""


class Slow(httpx.AsyncBaseTransport):
    """A replica that answers, two seconds later."""

    def __init__(self, replica: httpx.AsyncBaseTransport) -> None:
        self._replica = replica

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(SLOW_S)
        return await self._replica.handle_async_request(request)


def refused(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused", request=request)


ANSWERS: dict[str, Callable[[httpx.Request], httpx.Response]] = {
    "killed": refused,
    "answers 500": lambda _: httpx.Response(500),
    "answers garbage": lambda _: httpx.Response(200, content=GARBAGE, headers={"content-type": wire.CONTENT_TYPE}),
    "has another space": lambda _: httpx.Response(422, json={"code": "WRONG_SPACE"}),
}


SINGULAR = {
    "answer 500": "answers 500",
    "answer garbage": "answers garbage",
    "have another space": "has another space",
    "lag behind": "lags behind",
}


async def inject(fault: str, scene: Scene) -> None:
    """`fault`: "one replica …", "both replicas …", or one of `OTHERS`."""
    who, _, what = fault.partition(" ")
    if who not in {"one", "both"}:
        await OTHERS[fault](scene)
        return
    what = SINGULAR.get(what := what.partition(" ")[2], what)
    for replica in REPLICAS if who == "both" else REPLICAS[:1]:
        scene.hit.append(host := f"{HIT}-{replica}")
        hit(scene, host, what)
    if what == "lags behind":
        await scene.enrol("B", CARL, "carl")


def hit(scene: Scene, host: str, what: str) -> None:
    shards = scene.cluster.shards
    if what != "2 s slow":  # or a heartbeat that happens to come right after a write would confirm it all the same
        stop_following(scene.apps[host].state.replica.follower)
    match what:
        case "lags behind":
            return
        case "hung":
            shards.apps[host] = Hung()
        case "2 s slow":
            shards.apps[host] = Slow(shards.apps[host])
        case _:
            shards.faults[host] = ANSWERS[what]


def stop_following(follower: Follower) -> None:
    """It reads the feed, and nothing comes of it."""

    async def apply_nothing(_: Changes) -> None:
        await asyncio.sleep(0.02)

    follower._apply = apply_nothing  # type: ignore[method-assign,assignment]  # the fault itself


async def redis_away(scene: Scene) -> None:
    scene.server.kill()
    await until(lambda: not scene.cluster.services.view.truth_reachable)


async def redis_paused(scene: Scene) -> None:
    scene.server.pause()


async def redis_full(scene: Scene) -> None:
    await scene.cluster.services.ledger._redis.config_set("maxmemory", "1")


async def redis_empty(scene: Scene) -> None:
    scene.server.start_with("nothing")
    await until(lambda: not scene.cluster.services.view.stores)


async def redis_rolled_back(scene: Scene) -> None:
    """Restored from a copy that lacks the last enrolment; every replica has noticed."""
    scene.server.copy()
    await scene.enrol("B", CARL, "carl")
    index = [app.state.replica.index for host, app in scene.apps.items() if host.startswith(HIT)]
    await until(lambda: all("B" in one and one["B"].version >= scene.version for one in index))
    scene.server.start_with("copy")
    await until(lambda: all("B" in one and one["B"].version < scene.version for one in index))
    await until(lambda: scene.cluster.services.view.truth_reachable)


async def two_leaders(scene: Scene) -> None:
    """Another gateway takes the lease; the first one does not hear of it and goes on as if it had it."""
    first = scene.cluster.services.leader
    await until(lambda: first.leading)
    token = await first._lease.hold(60)

    async def believes(_: float) -> str | None:
        return token

    first._lease.hold = believes  # type: ignore[method-assign,assignment]  # the fault itself
    await scene.cluster.services.ledger._redis.delete("fg:{map}:leader")
    second = (await scene.start_gateway()).services.leader
    await until(lambda: second.leading)


async def nothing(_: Scene) -> None:
    """The yardstick."""


OTHERS: dict[str, Callable[[Scene], Awaitable[None]]] = {
    "no fault": nothing,
    "Redis away": redis_away,
    "Redis paused": redis_paused,
    "Redis full": redis_full,
    "Redis empty": redis_empty,
    "Redis rolled back": redis_rolled_back,
    "two leaders": two_leaders,
}


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)
