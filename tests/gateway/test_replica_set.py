"""Several shards asked at the same time: each goes its own pace."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from common.cluster_map import Heartbeat
from common.types import DLIB_SPACE, ReplicaState, StoreView
from common.wire import Query, QueryReply, SearchCall
from gateway.deadline import Deadline
from gateway.replica_set import ReplicaSet, ToShard, Track
from gateway.shard_client import ShardClient
from tests.gateway.in_process import unit


def beat(shard: str, replica: str) -> Heartbeat:
    return Heartbeat(shard, replica, f"{shard}-{replica}", ReplicaState.READY, "boot", 0.0, {})


class Client:
    """Replica s1-a lacks its store, s2-a answers when it is let."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.let = asyncio.Event()

    async def search(self, url: str, call: SearchCall) -> tuple[QueryReply, ...]:
        self.asked.append(url)
        if url == "s2-a":
            await self.let.wait()
        views = {} if url == "s1-a" else dict.fromkeys(call.queries[0].stores, StoreView(1, 0))
        return tuple(QueryReply(views, ((),)) for _ in call.queries)


@pytest.mark.parametrize("siblings", [True, False])
async def test_what_one_shard_lacks_is_asked_of_its_sibling_while_another_takes_its_time(*, siblings: bool) -> None:
    client = Client()
    replicas = ReplicaSet(cast(ShardClient, client), call_timeout_s=5)
    beats = {"s1": [beat("s1", "a")] + [beat("s1", "b")] * siblings, "s2": [beat("s2", "a")]}
    asks = [
        ToShard(Track(shard, DLIB_SPACE, exact=False, wide=True), theirs, [Query({shard: "i"}, unit(1), 5)])
        for shard, theirs in beats.items()
    ]
    async with asyncio.timeout(5):
        search = asyncio.create_task(replicas.search_each(asks, Deadline(5)))
        while {*client.asked} != {"s1-a", "s2-a"} | ({"s1-b"} if siblings else set()):
            await asyncio.sleep(0)
        client.let.set()
        found = [set(answer.searched) for (answer,) in await search]
    assert found == [{"s1"} if siblings else set(), {"s2"}]
