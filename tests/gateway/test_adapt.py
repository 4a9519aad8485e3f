"""When a probe may become a template: nothing must speak against it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from common.cluster_map import StoreConfig
from common.ledger import StoredFace
from common.records import FaceRecord, pack_vectors
from common.types import DLIB_SPACE, Candidate, Kind, StoreView, Verdict
from common.vectors import mean_row
from gateway.adapt import ADAPTED_TEMPLATES, ALIKE, COMFORT, LEAD, TOP_K, is_comfortable, is_useful
from gateway.coverage import Coverage
from gateway.cut import Cut
from gateway.spaces import Spaces
from gateway.store_set import StoreSet
from gateway.verdict import Identified, lead
from tests.gateway.in_process import unit

CUT = Cut(Spaces.load("").of(DLIB_SPACE).curve, rows=10, target_fpir=0.01, fixed=0.94)
ADA = Candidate("A", "ada", 0.97)


def found(*candidates: Candidate, full: bool = True) -> Identified:
    stores = StoreSet([StoreConfig("A", "s1"), StoreConfig("B", "s1")])
    coverage = Coverage(stores, {store: StoreView(1, 5) for store in ("AB" if full else "A")}, None, {})
    return Identified(Verdict.MATCH, candidates, CUT, coverage, "fan_out", lead=lead(candidates, CUT, TOP_K))


def test_the_best_by_far_is_comfortable() -> None:
    assert is_comfortable(found(ADA, Candidate("B", "bob", 0.97 - LEAD - 0.001)), ADA)
    assert is_comfortable(found(ADA), ADA)


def test_one_that_another_face_matches_nearly_as_well_is_not() -> None:
    assert not is_comfortable(found(ADA, Candidate("B", "bob", 0.97 - LEAD + 0.001)), ADA)


def test_another_face_of_the_same_member_is_no_rival() -> None:
    ada = Candidate("A", "ada", 0.97, Kind.MEMBER, "c-1")
    assert is_comfortable(found(ada, Candidate("B", "ada-too", 0.969, Kind.MEMBER, "c-1")), ada)
    assert not is_comfortable(found(ada, Candidate("B", "bob", 0.969, Kind.MEMBER, "c-2")), ada)


def test_somebody_behind_all_faces_of_a_member_that_were_named_may_be_a_rival() -> None:
    faces = [Candidate("A", f"ada-{nth}", score, Kind.MEMBER, "c-1") for nth, score in enumerate((0.97, 0.969, 0.968))]
    assert not is_comfortable(found(*faces), faces[0])
    far = Candidate("A", "ada-9", 0.97 - LEAD - 0.001, Kind.MEMBER, "c-1")
    assert is_comfortable(found(*faces, far), faces[0])


def test_of_many_faces_of_a_member_the_lowest_score_says_how_near_somebody_else_may_be() -> None:
    named = tuple(Candidate("A", f"ada-{nth}", 0.97 - nth / 100, Kind.MEMBER, "c-1") for nth in range(3))
    assert lead(named, CUT, named=3) == pytest.approx(0.02)
    assert lead(named, CUT, named=4) == math.inf


def test_a_score_barely_above_the_threshold_is_not() -> None:
    barely = Candidate("A", "ada", CUT.least + COMFORT - 0.001)
    assert not is_comfortable(found(barely), barely)


def test_a_face_that_is_not_the_best_of_the_whole_group_is_not() -> None:
    assert not is_comfortable(found(Candidate("B", "bob", 0.99), ADA), ADA)


def test_what_was_not_searched_speaks_against_it() -> None:
    assert not is_comfortable(found(ADA, full=False), ADA)


@pytest.mark.parametrize(("score", "useful"), [(0.95, True), (ALIKE + 0.005, False)])
def test_a_probe_that_shows_nothing_new_is_of_no_use(score: float, useful: bool) -> None:
    one, aside = unit(1), unit(2)
    aside = aside - (aside @ one.T) * one
    probe = score * one[0] + np.sqrt(1 - score**2) * (aside / np.linalg.norm(aside))[0]
    assert is_useful(stored(1), probe.astype(np.float32)) == useful


def test_a_face_that_has_enough_gets_no_more() -> None:
    assert not is_useful(stored(ADAPTED_TEMPLATES), unit(9)[0])
    assert is_useful(stored(ADAPTED_TEMPLATES - 1), unit(9)[0])


def stored(templates: int) -> StoredFace:
    rows = unit(1, templates)
    record = FaceRecord(mean_row(rows), DLIB_SPACE, Kind.VISITOR, 0, 0, templates)
    return StoredFace(b"", record, pack_vectors(rows))
