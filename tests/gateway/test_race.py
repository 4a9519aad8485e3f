"""The read path's loop with replicas that do as told: whom it asks, when, and what it learns from it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from common.cluster_map import Heartbeat
from common.errors import ShardFault, ShardRejected, ShardUnreachable
from common.types import ReplicaState
from gateway.hedging import BURST, Health, Pace
from gateway.race import Race

A, B, C = (Heartbeat("s1", name, name, ReplicaState.READY, name, 0.0) for name in "abc")


@dataclass
class Replicas:
    """Each answers its name, hangs, or raises its fault; `asked` in order, `cancelled` too."""

    hung: set[str] = field(default_factory=set)
    faults: dict[str, ShardFault] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    pace: Pace = field(default_factory=Pace)
    known: defaultdict[str, Health] = field(default_factory=lambda: defaultdict(Health))

    async def ask(self, beat: Heartbeat) -> str:
        self.asked.append(beat.url)
        if beat.url in self.faults:
            raise self.faults[beat.url]
        if beat.url in self.hung:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled.append(beat.url)
                raise
        await asyncio.sleep(0)
        return beat.url

    def race(self, beats: Sequence[Heartbeat]) -> Race[str]:
        return Race(list(beats), self.ask, self.pace, self.known.__getitem__)

    async def ended(self) -> None:
        """Return once nothing is in flight any more."""
        async with asyncio.timeout(5):
            while any(health.in_flight for health in self.known.values()):
                await asyncio.sleep(0)


def spend(pace: Pace) -> None:
    while pace.take_hedge():
        pass


async def test_the_first_that_answers_is_the_only_one_asked() -> None:
    replicas = Replicas()
    assert await replicas.race([A, B]).run() == "a"
    assert replicas.asked == ["a"]
    assert replicas.pace.can_hedge


async def test_a_hung_replica_is_hedged_cancelled_and_doubted() -> None:
    replicas = Replicas(hung={"a"})
    async with asyncio.timeout(5):
        assert await replicas.race([A, B]).run() == "b"
    await replicas.ended()
    assert (replicas.asked, replicas.cancelled) == (["a", "b"], ["a"])
    assert replicas.known["a"].doubted_at is not None
    assert replicas.known["b"].doubted_at is None


async def test_without_a_budget_nobody_is_hedged() -> None:
    replicas = Replicas(hung={"a"})
    spend(replicas.pace)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5 * replicas.pace.patience_s):
            await replicas.race([A, B]).run()
    await replicas.ended()
    assert (replicas.asked, replicas.cancelled) == (["a"], ["a"])


async def test_all_that_a_hung_replica_holds_up_are_saved_even_beyond_the_budget() -> None:
    """Those that the budget does not reach are replaced once another call has shown that it hangs."""
    replicas = Replicas(hung={"a"})
    crowd = 3 * int(BURST)
    async with asyncio.timeout(10):
        answers = await asyncio.gather(*(replicas.race([A, B]).run() for _ in range(crowd)))
    assert answers == ["b"] * crowd
    await replicas.ended()


async def test_a_failed_call_is_replaced_at_once_without_a_budget_and_its_cause_kept() -> None:
    replicas = Replicas(faults={"a": ShardUnreachable("gone"), "b": ShardUnreachable("gone too")})
    spend(replicas.pace)
    race = replicas.race([A, B, C])
    assert await race.run() == "c"
    assert [(beat.url, fault.code) for beat, fault in race.faults] == [
        ("a", "SHARD_UNREACHABLE"),
        ("b", "SHARD_UNREACHABLE"),
    ]
    assert {url for url, health in replicas.known.items() if health.doubted_at is not None} == {"a", "b"}


async def test_a_permanent_fault_stops_at_once() -> None:
    replicas = Replicas(faults={"a": ShardRejected("wrong space")})
    race = replicas.race([A, B])
    assert await race.run() is None
    assert replicas.asked == ["a"]
    assert [fault.code for _, fault in race.faults] == ["SHARD_REJECTED"]


async def test_nobody_left_is_none_with_every_cause() -> None:
    replicas = Replicas(faults={"a": ShardUnreachable("x"), "b": ShardUnreachable("y")})
    race = replicas.race([A, B])
    assert await race.run() is None
    assert len(race.faults) == 2


async def test_two_hung_replicas_of_three_cost_two_hedges() -> None:
    replicas = Replicas(hung={"a", "b"})
    async with asyncio.timeout(5):
        assert await replicas.race([A, B, C]).run() == "c"
    await replicas.ended()
    assert sorted(replicas.cancelled) == ["a", "b"]


async def test_the_winner_leaves_the_list_and_the_outrun_stays_for_what_is_still_missing() -> None:
    replicas, left = Replicas(hung={"a"}), [A, B]
    await Race(left, replicas.ask, replicas.pace, replicas.known.__getitem__).run()
    assert left == [A]
