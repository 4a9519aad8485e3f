"""The plan of a rebalance: few moves, about even afterwards, the draining empty. Pure."""

from __future__ import annotations

import numpy as np
import pytest

from common.cluster_map import Heartbeat, StoreConfig
from common.errors import Conflict, NoLiveShard
from common.types import ReplicaState, StoreView
from gateway.placement import EVEN_ENOUGH, Held, Plan, place, plan


def held(**shards: list[int]) -> list[Held]:
    return [Held(f"{shard}-{at}", shard, rows) for shard, there in shards.items() for at, rows in enumerate(there)]


def moved(planned: Plan) -> dict[str, str]:
    return {move.store: move.target for move in planned.moves}


@pytest.mark.parametrize(
    ("stores", "expected"),
    [
        (held(s1=[100], s2=[100]), {}),
        (held(s1=[104], s2=[100]), {}),  # even enough
        (held(s1=[100], s2=[]), {}),  # one store is on one shard, wherever
        (held(s1=[60, 40], s2=[]), {"s1-0": "s2"}),
        (held(s1=[50, 30, 20, 10], s2=[10]), {"s1-0": "s2"}),
        (held(s1=[0, 0, 0], s2=[]), {}),  # nothing to even out
        (held(s1=[], s2=[]), {}),
    ],
)
def test_few_moves_make_the_shards_even(stores: list[Held], expected: dict[str, str]) -> None:
    assert moved(plan(stores, {"s1", "s2"}, set())) == expected


def test_a_draining_shard_gives_everything_away_also_empty_stores() -> None:
    planned = plan(held(s1=[50, 0, 30], s2=[], s3=[10]), {"s1", "s2", "s3"}, {"s1"})
    assert moved(planned) == {"s1-0": "s2", "s1-2": "s3", "s1-1": "s3"}
    assert planned.after == {"s1": 0, "s2": 50, "s3": 40}
    assert [move.rows for move in planned.moves] == [50, 30, 0]


def test_stores_of_a_shard_that_is_not_alive_stay() -> None:
    assert moved(plan(held(s1=[50], s9=[10, 500]), {"s1", "s2"}, set())) == {}
    assert moved(plan(held(s1=[50]), {"s1"}, {"s1"})) == {}


@pytest.mark.parametrize("seed", range(20))
def test_any_cluster_ends_about_even_with_what_it_had(seed: int) -> None:
    random = np.random.default_rng(seed)
    shards = {f"s{n}": random.integers(1, 1000, random.integers(0, 40)).tolist() for n in range(6)}
    stores = held(**shards)
    planned = plan(stores, set(shards), {"s0"})
    assert sum(planned.after.values()) == sum(planned.before.values()) == sum(one.rows for one in stores)
    assert planned.after["s0"] == 0
    takers = [planned.after[shard] for shard in shards if shard != "s0"]
    smallest = min(one.rows for one in stores)
    assert max(takers) - min(takers) <= max(EVEN_ENOUGH * sum(takers) / 5, 2 * smallest, 50)
    assert all(move.target not in (move.source, "s0") for move in planned.moves)
    assert len(planned.moves) < len(stores)
    for shard, rows in planned.after.items():
        there = [one for one in stores if moved(planned).get(one.store, one.shard) == shard]
        assert sum(one.rows for one in there) == rows


def beat(shard: str, rows: int) -> Heartbeat:
    return Heartbeat(shard, "a", f"http://{shard}", ReplicaState.READY, shard, 0.0, {"X": StoreView(1, rows)})


def test_a_new_store_is_never_placed_on_a_draining_shard() -> None:
    live = {"s1": (beat("s1", 0),), "s2": (beat("s2", 5),)}
    assert place(None, [StoreConfig("X", "s2")], live) == "s1"
    assert place(None, [], live, {"s1"}) == "s2"
    with pytest.raises(Conflict):
        place("s1", [], live, {"s1"})
    with pytest.raises(NoLiveShard):
        place(None, [], live, {"s1", "s2"})
