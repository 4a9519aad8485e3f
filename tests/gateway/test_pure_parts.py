"""The parts without I/O: merging, the verdict, placement, and what enrolment makes of the templates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.cluster_map import Heartbeat, StoreConfig
from common.errors import NoLiveShard, SpaceChanging, UnknownShard, ZeroVector
from common.ledger import StoredFace
from common.records import pack_vectors
from common.types import DLIB_SPACE, Candidate, Kind, ReplicaState, StoreView, Verdict
from gateway.coverage import Coverage
from gateway.cut import Cut
from gateway.enrol import Enrolment, combine
from gateway.placement import place
from gateway.router import merge
from gateway.shard_client import Cause
from gateway.spaces import Spaces
from gateway.store_set import StoreSet
from gateway.verdict import verdict
from tests.gateway.in_process import unit

BOTH = StoreSet([StoreConfig("A", "s1"), StoreConfig("B", "s1")])
FULL = Coverage(BOTH, {"A": StoreView(1, 1), "B": StoreView(1, 1)}, 0, {})
PARTIAL = Coverage(BOTH, {"A": StoreView(1, 1)}, 7, {"s1": (Cause("a", "SHARD_TIMEOUT"),)})


def test_merge_keeps_order_breaks_ties_by_name_and_lists_a_face_once() -> None:
    first = [Candidate("B", "x", 0.9), Candidate("A", "y", 0.9), Candidate("A", "z", 0.5)]
    second = [Candidate("A", "y", 0.9), Candidate("C", "w", 0.95)]
    merged = merge([sorted(first, key=lambda c: (-c.score, c.store)), second], top_k=3)
    assert [(c.store, c.face_id) for c in merged] == [("C", "w"), ("A", "y"), ("B", "x")]


@given(st.lists(st.lists(st.tuples(st.sampled_from("AB"), st.sampled_from("xyz"), st.integers(-2, 2))), max_size=4))
def test_a_merge_is_one_sort_of_the_best_of_each_face(lists: list[list[tuple[str, str, int]]]) -> None:
    ranked = [[Candidate(store, face, score / 2) for store, face, score in one] for one in lists]
    best: dict[tuple[str, str], float] = {}
    for one in (one for candidates in ranked for one in candidates):
        best[one.store, one.face_id] = max(one.score, best.get((one.store, one.face_id), -1.0))
    expected = sorted((-score, store, face) for (store, face), score in best.items())
    for top_k in (1, 3, 9):
        assert [(-one.score, one.store, one.face_id) for one in merge(ranked, top_k)] == expected[:top_k]


CUT = Cut(Spaces.load("").of(DLIB_SPACE).curve, rows=10, target_fpir=0.01, fixed=0.9)


@pytest.mark.parametrize(
    ("score", "coverage", "expected"),
    [
        (0.95, FULL, Verdict.MATCH),
        (0.9, FULL, Verdict.MATCH),  # at the threshold
        (0.95, PARTIAL, Verdict.MATCH),
        (0.89, FULL, Verdict.NO_MATCH),
        (0.89, PARTIAL, Verdict.INCONCLUSIVE),
    ],
)
def test_no_match_needs_full_coverage(score: float, coverage: Coverage, expected: Verdict) -> None:
    assert verdict([Candidate("A", "x", score)], CUT, coverage) is expected


def test_nobody_found_is_no_match_only_with_full_coverage() -> None:
    assert verdict([], CUT, FULL) is Verdict.NO_MATCH
    assert verdict([], CUT, PARTIAL) is Verdict.INCONCLUSIVE


def beat(shard: str, rows: int) -> Heartbeat:
    return Heartbeat(shard, "a", f"http://{shard}", ReplicaState.READY, shard, 0.0, {"X": StoreView(1, rows)})


def test_a_store_goes_to_the_shard_with_fewest_rows_then_fewest_stores() -> None:
    live = {"s1": (beat("s1", 5),), "s2": (beat("s2", 0),), "s3": (beat("s3", 0),)}
    stores = [StoreConfig("X", "s2"), StoreConfig("Y", "s1")]
    assert place(None, stores, live) == "s3"
    assert place("s1", stores, live) == "s1"


def test_placement_needs_a_live_shard() -> None:
    with pytest.raises(NoLiveShard):
        place(None, [], {})
    with pytest.raises(UnknownShard):
        place("s9", [], {"s1": (beat("s1", 0),)})


def test_the_row_is_the_unit_mean_of_the_ten_newest_templates() -> None:
    old, new = unit(1, 9), unit(2, 3)
    record, templates = combine(None, Enrolment(old), DLIB_SPACE, now=1.0)
    stored = StoredFace(b"raw", record, pack_vectors(templates))
    record, templates = combine(stored, Enrolment(new, kind=Kind.MEMBER), DLIB_SPACE, now=2.0)
    expected = np.concatenate([old[2:], new])
    assert np.array_equal(templates, expected)
    mean = expected.mean(axis=0)
    assert record.row == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)
    assert (record.templates, record.kind, record.created, record.updated) == (10, Kind.MEMBER, 1.0, 2.0)


def test_adding_a_template_keeps_kind_and_labels_that_are_not_given() -> None:
    record, templates = combine(None, Enrolment(unit(1), kind=Kind.STAFF, labels={"a": "b"}), DLIB_SPACE, now=1.0)
    record, _ = combine(StoredFace(b"raw", record, pack_vectors(templates)), Enrolment(unit(2)), DLIB_SPACE, now=2.0)
    assert (record.kind, record.labels) == (Kind.STAFF, {"a": "b"})


def test_templates_that_cancel_out_or_come_from_another_space_are_refused() -> None:
    record, templates = combine(None, Enrolment(unit(1)), DLIB_SPACE, now=1.0)
    stored = StoredFace(b"raw", record, pack_vectors(templates))
    with pytest.raises(ZeroVector):
        combine(stored, Enrolment(-unit(1)), DLIB_SPACE, now=2.0)
    with pytest.raises(SpaceChanging):
        combine(stored, Enrolment(unit(2)), "arcface-r50", now=2.0)
