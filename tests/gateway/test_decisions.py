"""What the leader decides, by table: from what should be and what is to the next steps. No Redis, no clock."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from common.cluster_map import Heartbeat, Orders, StoreConfig
from common.types import ReplicaState, StoreView
from gateway.decisions import HEALED_AT_ONCE, LOADING_AT_ONCE, Change, Look, Void, decide, servers, stage, stranded
from gateway.patience import Absences, Unchanged


def beat(shard: str, stores: str = "", replica: str = "a", *, ready: bool = True) -> Heartbeat:
    state = ReplicaState.READY if ready else ReplicaState.LOADING
    views = {store: StoreView(1, 1) for store in stores}
    return Heartbeat(shard, replica, f"http://{shard}{replica}", state, f"boot-{shard}{replica}", 0.0, views)


def alive(*beats: Heartbeat) -> dict[str, tuple[Heartbeat, ...]]:
    return {shard: tuple(b for b in beats if b.shard == shard) for shard in sorted({b.shard for b in beats})}


A = StoreConfig("A", "s1", incarnation="1")
LOADING = replace(A, moving_to="s2")
LEAVING = replace(A, shard="s2", moving_from="s1")
BOTH = alive(beat("s1", "A"), beat("s2", "A"))
SOURCE_ONLY = alive(beat("s1", "A"), beat("s2"))
SETTLED = frozenset("A")


@dataclass(frozen=True)
class Case:
    what: str
    config: StoreConfig
    expected: StoreConfig | None
    """the entry that the step writes; None: no step"""
    shards: dict[str, tuple[Heartbeat, ...]] = field(default_factory=lambda: BOTH)
    orders: Orders = field(default_factory=Orders)
    dead: frozenset[str] = frozenset()
    settled: frozenset[str] = SETTLED


def moves(target: str) -> Orders:
    return Orders({"A": target})


def drains(*shards: str) -> Orders:
    return Orders(draining=frozenset(shards))


TARGET_TWICE = alive(beat("s1", "A"), beat("s2", "A"), beat("s2", "", "b"))
TARGET_TWICE_ONE_LOADING = alive(beat("s1", "A"), beat("s2", "A"), beat("s2", "", "b", ready=False))
TARGET_NOT_READY = alive(beat("s1", "A"), beat("s2", "A", ready=False))
TARGET_GONE = alive(beat("s1", "A"))
SOURCE_GONE = alive(beat("s2", "A"))
SURVIVOR = alive(beat("s3"))

CASES = [
    Case("nothing ordered, nothing done", A, None),
    Case("ordered: the target loads it", A, LOADING, orders=moves("s2")),
    Case("ordered to a shard that is away for a moment: wait", A, None, shards=TARGET_GONE, orders=moves("s2")),
    Case("loaded by every ready replica for the grace: switch", LOADING, LEAVING),
    Case("loaded, but not for the grace yet", LOADING, None, settled=frozenset()),
    Case("not loaded yet", LOADING, None, shards=SOURCE_ONLY),
    Case("a ready replica of the target lacks it", LOADING, None, shards=TARGET_TWICE),
    Case("a replica that is not ready is not waited for", LOADING, LEAVING, shards=TARGET_TWICE_ONE_LOADING),
    Case("no ready replica of the target", LOADING, None, shards=TARGET_NOT_READY),
    Case("the target is away for a moment", LOADING, None, shards=TARGET_GONE),
    Case("the target is dead: given up", LOADING, A, shards=TARGET_GONE, dead=frozenset({"s2"})),
    Case("the target shall be emptied: given up", LOADING, A, orders=drains("s2")),
    Case("ordered elsewhere meanwhile: given up", LOADING, A, orders=moves("s3")),
    Case("ordered back meanwhile: given up", LOADING, A, orders=moves("s1")),
    Case("the source is gone, the target has it: switch", LOADING, LEAVING, shards=SOURCE_GONE),
    Case("switched, for the grace: the source drops it", LEAVING, replace(A, shard="s2")),
    Case("switched a moment ago", LEAVING, None, settled=frozenset()),
    Case("switched, and the target went away: the source keeps it", LEAVING, None, shards=TARGET_GONE),
    Case("switched, and the target died: back", LEAVING, A, shards=TARGET_GONE, dead=frozenset({"s2"})),
    Case("switched, and ordered back: first to the end", LEAVING, None, orders=moves("s1"), settled=frozenset()),
    Case("dead shard: placed on the survivor", A, replace(A, shard="s3"), shards=SURVIVOR, dead=frozenset({"s1"})),
    Case("dead shard while it loads: the target has it", LOADING, replace(A, shard="s2"), dead=frozenset({"s1"})),
    Case("dead shard, and nobody alive: the map stays", A, None, shards={}, dead=frozenset({"s1"})),
    Case("dead, the only survivor drains", A, None, shards=SURVIVOR, dead=frozenset({"s1"}), orders=drains("s3")),
    Case("absent, not dead yet", A, None, shards=SURVIVOR),
    Case("draining: moves to the other", A, LOADING, shards=SOURCE_ONLY, orders=drains("s1")),
    Case("draining, nobody else", A, None, shards=alive(beat("s1", "A")), orders=drains("s1")),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_the_next_step_of_one_store(case: Case) -> None:
    steps = decide(Look({"A": case.config}, case.shards, case.orders, case.dead, case.settled))
    changes = [step for step in steps if isinstance(step, Change)]
    assert [step.new for step in changes] == ([] if case.expected is None else [case.expected])
    assert all(step.present == case.config for step in changes)
    switched = case.expected is not None and case.expected.moving_from is not None
    assert all(step.confirm == switched for step in changes)


@pytest.mark.parametrize(
    ("config", "target", "dead", "draining", "is_over"),
    [
        (None, "s2", "", "", True),
        (A, "s1", "", "", True),
        (LOADING, "s2", "", "", True),
        (A, "s2", "s2", "", True),
        (A, "s2", "", "s2", True),
        (A, "s2", "", "", False),
        (LEAVING, "s1", "", "", False),
        (LOADING, "s1", "", "", False),
    ],
)
def test_an_order_is_forgotten_when_it_is_begun_done_or_cannot_be(
    config: StoreConfig | None, target: str, dead: str, draining: str, is_over: bool
) -> None:
    orders = Orders({"A": target}, frozenset({draining} - {""}))
    stores = {} if config is None else {"A": config}
    steps = decide(Look(stores, BOTH, orders, dead=frozenset({dead} - {""})))
    assert [(s.store, s.shard) for s in steps if isinstance(s, Void)] == ([("A", target)] if is_over else [])


def test_few_stores_load_at_once_and_those_that_leave_do_not_count() -> None:
    stores = {name: StoreConfig(name, "s1") for name in "abcdefgh"}
    stores["a"] = replace(stores["a"], moving_to="s2")
    stores["b"] = replace(stores["b"], shard="s2", moving_from="s1")
    look = Look(stores, alive(beat("s1", "acdefgh"), beat("s2", "b")), Orders(dict.fromkeys("cdefgh", "s2")))
    begun = [step for step in decide(look) if isinstance(step, Change)]
    assert len(begun) == LOADING_AT_ONCE - 1
    assert {step.new.moving_to for step in begun} == {"s2"}


def test_ordered_moves_come_before_those_of_a_draining_shard() -> None:
    stores = {name: StoreConfig(name, "s1") for name in "abcdef"}
    orders = Orders(dict.fromkeys("def", "s2"), frozenset({"s1"}))
    begun = [step for step in decide(Look(stores, alive(beat("s1"), beat("s2")), orders)) if isinstance(step, Change)]
    assert [step.present.store for step in begun] == ["d", "e", "f", "a"]


def test_a_dead_shards_stores_are_spread_by_load_the_largest_first_a_few_at_a_time() -> None:
    stores = {f"d{n:02}": StoreConfig(f"d{n:02}", "s1") for n in range(20)} | {"big": StoreConfig("big", "s2")}
    faces = dict.fromkeys(stores, 10) | {"big": 40, "d19": 50}
    look = Look(stores, alive(beat("s2", ""), beat("s3")), dead=frozenset({"s1"}), faces=faces)
    steps = [step for step in decide(look) if isinstance(step, Change)]
    assert len(steps) == HEALED_AT_ONCE
    assert (steps[0].present.store, steps[0].new.shard) == ("d19", "s3")
    load = {"s2": 40, "s3": 0}
    for step in steps:
        load[step.new.shard] += faces[step.present.store]
    assert abs(load["s2"] - load["s3"]) <= 10


def test_whose_stores_nobody_takes_is_told() -> None:
    stores = {"A": A, "B": StoreConfig("B", "s2")}
    nobody = Look(stores, alive(beat("s2", "B")), drains("s2"), dead=frozenset({"s1"}))
    assert stranded(nobody) == ["s1", "s2"]
    assert stranded(replace(nobody, orders=Orders())) == []


def test_a_stage_ends_when_the_entry_or_those_who_serve_it_change() -> None:
    assert stage(LOADING, BOTH) == stage(LOADING, alive(beat("s1"), beat("s2", "A")))
    assert stage(LOADING, BOTH) != stage(LOADING, SOURCE_ONLY)
    assert stage(LOADING, BOTH) != stage(LEAVING, BOTH)
    assert servers(TARGET_TWICE, "s2", "A") is None
    assert servers(BOTH, "s2", "A") == frozenset({"boot-s2a"})


def test_absence_counts_only_the_time_between_looks_and_starts_again_with_a_return() -> None:
    absences = Absences(longest_gap_s=2.0)
    assert absences.look({"s1", "s2"}, {"s1"}, now=100.0) == {"s2": 0.0}
    assert absences.look({"s1", "s2"}, {"s1"}, now=101.0) == {"s2": 1.0}
    assert absences.look({"s1", "s2"}, {"s1"}, now=500.0) == {"s2": 3.0}  # nobody looked for long
    assert absences.look({"s1", "s2"}, {"s1", "s2"}, now=501.0) == {}
    assert absences.look({"s1", "s2"}, set(), now=502.0) == {"s1": 0.0, "s2": 0.0}


def test_a_store_has_been_in_its_stage_since_the_first_look_at_it() -> None:
    unchanged = Unchanged()
    assert unchanged.look({"A": 1, "B": 1}, now=10.0) == {"A": 0.0, "B": 0.0}
    assert unchanged.look({"A": 1, "B": 2}, now=11.0) == {"A": 1.0, "B": 0.0}
    assert unchanged.look({"B": 2}, now=12.0) == {"B": 1.0}
    assert unchanged.look({"A": 1}, now=13.0) == {"A": 0.0}
