"""When a probe may become a template: nothing must speak against it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from common.cluster_map import StoreConfig
from common.ledger import StoredFace
from common.records import FaceRecord, pack_vectors
from common.types import DLIB_SPACE, Candidate, Kind, StoreView, Verdict
from common.vectors import mean_row
from gateway.adapt import (
    ADAPTED_TEMPLATES,
    ALIKE,
    COMFORT,
    LEAD,
    TOP_K,
    Adapter,
    At,
    Offer,
    is_comfortable,
    is_the_same,
    is_useful,
)
from gateway.coverage import Coverage
from gateway.cut import Cut
from gateway.deadline import Deadline
from gateway.spaces import Spaces
from gateway.store_set import StoreSet
from gateway.verdict import Asked, Identified, lead
from tests.gateway.in_process import cluster, unit
from tests.gateway.test_sight import near

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


def test_a_face_that_is_another_one_by_now_gets_no_template() -> None:
    """It was erased and enrolled anew, or split, between the search and the look at it."""
    face = stored(2)
    probe = face.record.row
    at = At(StoreConfig("A", "s1"), StoreConfig("A", "s1"))
    matched = Candidate("A", "ada", 1.0)
    assert is_the_same(face, Offer(at, probe, matched, found(matched)))
    assert not is_the_same(face, Offer(at, unit(7)[0], matched, found(matched)))
    assert not is_the_same(face, Offer(at, probe[:64], matched, found(matched)))
    elsewhere = At(at.store, replace(at.home, space="other"))
    assert not is_the_same(face, Offer(elsewhere, probe, matched, found(matched)))


async def test_a_record_that_cannot_be_read_takes_no_template_from_the_others(redis_url: str) -> None:
    async with cluster(redis_url, shards=1) as running:
        await running.create("A")
        for seed in (1, 2):
            await running.enrol("A", unit(seed), face_id=f"f{seed}")
        home = running.services.view.stores["A"]
        faces, seen = running.services.ledger.faces, list[int]()

        async def one_is_broken(named: Sequence[tuple[str, str]]) -> list[StoredFace | None]:
            seen.append(len(named))
            if ("A", "f1") in named:
                raise ValueError("no record")
            return await faces(named)

        running.services.ledger.faces = one_is_broken  # type: ignore[method-assign]
        probes = np.concatenate([near(unit(seed), 0.97) for seed in (1, 2)])
        asked = Asked(top_k=3, with_margin=False)
        identifier = running.services.identifier
        results = (await identifier.identify(home, probes, asked, Deadline(10))).results
        adapter = Adapter(identifier, running.services.ledger)
        for probe, result in zip(probes, results, strict=True):
            adapter.offer(Offer(At(home, home), probe, result.candidates[0], result))
        await adapter.settled()
        assert seen == [2, 1, 1]
        (kept,) = await faces([("A", "f2")])
        assert kept is not None
        assert kept.record.templates == 2
