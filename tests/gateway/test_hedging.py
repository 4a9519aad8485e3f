"""The read path's numbers without I/O: patience, budget, doubt and order; times are explicit."""

from __future__ import annotations

from collections import defaultdict

import pytest

from common.cluster_map import Heartbeat
from common.types import ReplicaState
from gateway.hedging import BURST, COOL_OFF_S, FLOOR_S, SHARE, UNKNOWN_S, WINDOW, Health, Pace, in_order


def beat(replica: str, state: ReplicaState = ReplicaState.READY) -> Heartbeat:
    return Heartbeat("s1", replica, f"http://{replica}", state, replica, 0.0)


def names(known: dict[str, Health], beats: list[Heartbeat], now: float, *, may_try: bool = True) -> str:
    every = defaultdict(Health, {f"http://{replica}": health for replica, health in known.items()})
    return "".join(b.replica for b in in_order(beats, every.__getitem__, now, may_try))


def test_patience_is_the_p95_of_recent_calls_and_a_default_before_there_are_any() -> None:
    pace = Pace()
    assert pace.patience_s == UNKNOWN_S
    for at in range(WINDOW):
        pace.took(at / 1000)
    assert pace.patience_s == pytest.approx(0.95 * WINDOW / 1000, abs=0.02)


def test_patience_forgets_what_was_long_ago_and_has_a_floor() -> None:
    pace = Pace()
    for seconds in [10.0] * WINDOW + [0.0001] * (WINDOW + 20):
        pace.took(seconds)
    assert pace.patience_s == FLOOR_S


def test_the_budget_allows_a_burst_and_in_the_long_run_five_percent() -> None:
    pace = Pace()
    assert sum(pace.take_hedge() for _ in range(100)) == BURST
    hedges = 0
    for _ in range(10_000):
        pace.called()
        hedges += pace.take_hedge()
    assert hedges == pytest.approx(10_000 * SHARE, abs=2)


def test_saved_hedges_never_exceed_the_burst() -> None:
    pace = Pace()
    for _ in range(10_000):
        pace.called()
    assert sum(pace.take_hedge() for _ in range(1000)) == BURST


def test_ready_replicas_go_first_then_fewest_in_flight_then_by_name() -> None:
    draining, loading = beat("0", ReplicaState.DRAINING), beat("a", ReplicaState.LOADING)
    busy, idle, other = beat("b"), beat("c"), beat("d")
    known = {"b": Health(in_flight=2)}
    assert names(known, [draining, loading, busy, other, idle], now=0) == "cdba0"


def test_one_in_doubt_goes_last_until_its_cool_off_and_then_one_request_tries_it() -> None:
    health = Health()
    health.failed(now=100.0)
    beats = [beat("a"), beat("b", ReplicaState.LOADING)]
    just_before, after = 100.0 + COOL_OFF_S - 0.01, 100.0 + COOL_OFF_S
    assert names({"a": health}, beats, just_before) == "ba"
    assert names({"a": health}, beats, after) == "ab"
    health.called(after)  # it is tried: the others do not
    assert names({"a": health}, beats, after + 0.01) == "ba"
    health.answered(after + 0.02)
    assert names({"a": health}, beats, after + 0.03) == "ab"


def test_a_call_within_the_cool_off_does_not_make_it_longer() -> None:
    health = Health()
    health.failed(now=100.0)
    health.called(101.0)
    assert not health.goes_last(100.0 + COOL_OFF_S, may_try=True)


def test_one_in_doubt_is_tried_only_while_a_hedge_could_save_the_request() -> None:
    health = Health(doubted_at=0.0)
    assert names({"a": health}, [beat("a"), beat("b")], now=1000, may_try=False) == "ba"
    assert names({"a": health}, [beat("a")], now=1000, may_try=False) == "a"


def test_of_several_in_doubt_the_one_found_out_longest_ago_is_asked_first() -> None:
    assert names({"a": Health(doubted_at=2.0), "b": Health(doubted_at=1.0)}, [beat("a"), beat("b")], now=2.5) == "ba"


def test_an_outrun_replica_is_doubted_unless_it_answered_others_meanwhile() -> None:
    busy, hung = Health(), Health()
    for health in (busy, hung):
        health.answered(now=5.0)
    busy.answered(now=11.0)
    for health in (busy, hung):
        health.outrun(started=10.0, now=12.0)
    assert busy.doubted_at is None
    assert hung.doubted_at == 12.0
    assert hung.doubted_since(11.0)
    assert not hung.doubted_since(12.0)
