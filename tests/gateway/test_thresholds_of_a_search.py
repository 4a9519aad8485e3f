"""What a search holds its candidates to: how many rows, how many photos on either side, the store's own settings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from common.types import DLIB_SPACE, Vectors
from gateway.fmr import threshold
from gateway.spaces import Spaces
from tests.gateway.in_process import Cluster, D, cluster, unit
from tests.gateway.test_sight import until_served

CURVE = Spaces.load("").of(DLIB_SPACE).curve


def turned(row: Vectors, score: float, seed: int) -> Vectors:
    """(1, d) of unit length with exactly this score against the unit (1, d) `row`."""
    side = unit(seed)
    side -= (side @ row.T) * row
    side /= np.linalg.norm(side)
    return np.ascontiguousarray(score * row + np.sqrt(1 - score**2) * side, dtype=np.float32)


def between(rows: Vectors, scores: tuple[float, float]) -> Vectors:
    """(1, d): a unit vector with these scores against two orthogonal unit rows, (2, d)."""
    side = unit(99)
    side -= (side @ rows.T) @ rows
    rest = np.sqrt(1 - scores[0] ** 2 - scores[1] ** 2)
    return np.ascontiguousarray(np.array([scores]) @ rows + rest * side / np.linalg.norm(side), dtype=np.float32)


def orthogonal(seed: int) -> Vectors:
    """(2, d) orthogonal unit rows."""
    pair = unit(seed, 2).astype(np.float64)
    return np.ascontiguousarray(np.linalg.qr(pair.T)[0].T, dtype=np.float32)


@pytest.fixture
async def chain(redis_url: str) -> AsyncIterator[Cluster]:
    async with cluster(redis_url, shards=2) as running:
        for store, shard in (("A", "s1"), ("B", "s2")):
            await running.create(store, shard=shard)
        await until_served(running)
        yield running


async def ask(chain: Cluster, probes: Vectors, store: str = "A", **params: Any) -> list[dict[str, Any]]:
    body = {"embeddings": probes.tolist()}
    response = await chain.http.post(f"/v1/stores/{store}/search", params=params, json=body)
    assert response.status_code == 200, response.text
    results: list[dict[str, Any]] = response.json()["results"]
    return results


async def test_a_face_of_three_photos_is_held_to_the_threshold_of_such_means(chain: Cluster) -> None:
    row = unit(1)
    await chain.enrol("A", np.concatenate([turned(row, 0.99, seed) for seed in (2, 3, 4)]), face_id="many")
    face = (await ask(chain, row))[0]["candidates"][0]
    assert face["photos"] == 3
    assert face["threshold"] == pytest.approx(threshold(CURVE, 1, 0.01, enrolled=3))
    score, single = face["score"], threshold(CURVE, 1, 0.01)
    assert single < face["threshold"] < score


async def test_a_probe_of_three_photos_too_and_the_answer_says_so(chain: Cluster) -> None:
    row = unit(1)
    await chain.enrol("A", row, face_id="one")
    needed = [threshold(CURVE, 1, 0.01, searched=photos) for photos in (1, 3)]
    probe = turned(row, sum(needed) / 2, seed=2)  # enough for one photo, too little for the mean of three
    (alone,) = await ask(chain, probe, scope="store")
    (mean,) = await ask(chain, probe, scope="store", photos=3)
    assert (alone["verdict"], mean["verdict"]) == ("match", "no_match")
    assert [alone["threshold"], mean["threshold"]] == pytest.approx(needed)


async def test_photos_themselves_are_counted_and_not_to_be_told(chain: Cluster) -> None:
    files = [("image", ("a.png", b"not looked at"))]
    refused = await chain.http.post("/v1/stores/A/search", params={"photos": 3}, files=files)
    assert (refused.status_code, refused.json()["field"]) == (422, "photos")


async def test_the_best_is_the_one_farthest_above_its_own_threshold(chain: Cluster) -> None:
    rows = orthogonal(5)
    await chain.enrol("A", rows[:1], face_id="one")
    templates = np.concatenate([turned(rows[1:], 0.999, seed) for seed in range(20, 29)])
    await chain.enrol("A", templates, face_id="many")
    probe = between(rows, (0.70, 0.71))
    (alike,) = await ask(chain, probe, threshold=0.5)
    (result,) = await ask(chain, probe)
    assert [face["face_id"] for face in alike["candidates"]] == ["many", "one"]
    assert [face["face_id"] for face in result["candidates"]] == ["one", "many"]  # the other has more to reach


async def test_an_answer_says_when_the_threshold_was_never_measured(chain: Cluster) -> None:
    await chain.create("strict", group="other", target_fpir=1e-8)
    await chain.enrol("strict", unit(1), face_id="x")
    (result,) = await ask(chain, unit(1), "strict")
    assert result["threshold_measured"] is False
    (result,) = await ask(chain, unit(1), "strict", threshold=0.9)
    assert result["threshold_measured"] is True
    (result,) = await ask(chain, unit(1))
    assert result["threshold_measured"] is True


async def test_a_stores_own_target_makes_its_threshold(chain: Cluster) -> None:
    await chain.enrol("A", unit(1), face_id="x")
    changed = await chain.http.put("/v1/stores/A", json={"target_fpir": 1e-4})
    assert changed.json()["target_fpir"] == 1e-4
    (result,) = await ask(chain, unit(1), scope="store")
    assert result["threshold"] == pytest.approx(threshold(CURVE, 1, 1e-4))
    await chain.http.put("/v1/stores/A", json={"target_fpir": None})
    (result,) = await ask(chain, unit(1), scope="store")
    assert result["threshold"] == pytest.approx(threshold(CURVE, 1, 0.01))


async def two_alike(chain: Cluster, margin: float | None, **of_both: object) -> dict[str, Any]:
    """Two of store A whom the probe resembles by 0.702 and 0.700, above the store's threshold."""
    rows = orthogonal(7)
    await chain.http.put("/v1/stores/A", json={"threshold": 0.6, "margin": margin})
    for at, face_id in enumerate(("ann", "bea")):
        await chain.enrol("A", rows[at : at + 1], face_id=face_id, **of_both)
    (result,) = await ask(chain, between(rows, (0.702, 0.7)))
    return result


async def test_two_who_match_nearly_alike_are_ambiguous_where_the_store_has_a_margin(chain: Cluster) -> None:
    result = await two_alike(chain, margin=0.01)
    assert (result["verdict"], result["reason"], result["route"]["mode"]) == ("inconclusive", "AMBIGUOUS", "home")
    assert [face["face_id"] for face in result["candidates"]] == ["ann", "bea"]


@pytest.mark.parametrize("margin", [None, 0.001])
async def test_without_a_margin_or_beyond_it_the_better_one_matches(chain: Cluster, margin: float | None) -> None:
    result = await two_alike(chain, margin)
    assert (result["verdict"], result["reason"]) == ("match", None)


async def test_the_margin_holds_also_where_one_candidate_is_asked_for(chain: Cluster) -> None:
    await two_alike(chain, margin=0.01)
    (result,) = await ask(chain, between(orthogonal(7), (0.702, 0.7)), top_k=1)
    assert (result["reason"], len(result["candidates"])) == ("AMBIGUOUS", 1)


async def test_two_faces_of_one_member_are_not_ambiguous(chain: Cluster) -> None:
    await chain.http.put("/v1/members/c-1", json={"display_name": "Ann"})
    await two_alike(chain, margin=0.01)
    for face_id in ("ann", "bea"):
        bound = await chain.http.put(f"/v1/members/c-1/faces/A/{face_id}")
        assert bound.is_success, bound.text
    (result,) = await ask(chain, between(orthogonal(7), (0.702, 0.7)), min_version=4)
    assert result["verdict"] == "match"


async def test_a_sighting_is_counted_for_the_nearest_all_the_same(chain: Cluster) -> None:
    await two_alike(chain, margin=0.01)
    probe = between(orthogonal(7), (0.702, 0.7))
    seen = await chain.http.post("/v1/stores/A/sightings", json={"embeddings": probe.tolist()})
    (face,) = seen.json()["faces"]
    assert (face["outcome"], face["face_id"]) == ("counted", "ann")


async def one_and_many(chain: Cluster) -> Vectors:
    """(1, d): a probe that matches both faces of store A, "many" of nine templates by a little more than "one"."""
    probe = unit(1)
    center = turned(probe, 0.945, 3)
    await chain.enrol("A", turned(probe, 0.94, 2), face_id="one")
    await chain.enrol("A", np.concatenate([turned(center, 0.9999, seed) for seed in range(20, 29)]), face_id="many")
    return probe


async def test_a_sighting_is_counted_for_whom_a_search_calls_the_best(chain: Cluster) -> None:
    probe = await one_and_many(chain)
    (result,) = await ask(chain, probe)
    seen = await chain.http.post("/v1/stores/A/sightings", json={"embeddings": probe.tolist()})
    (face,) = seen.json()["faces"]
    assert (result["verdict"], result["candidates"][0]["face_id"], face["face_id"]) == ("match", "one", "one")
    assert result["candidates"][0]["score"] < result["candidates"][1]["score"]


async def test_a_sighting_says_the_threshold_of_the_face_it_is_counted_for(chain: Cluster) -> None:
    probe = await one_and_many(chain)
    body = {"embeddings": np.concatenate([probe, turned(probe, 0.9999, 4)]).tolist()}
    faces = (await chain.http.post("/v1/stores/A/sightings", json=body)).json()["faces"]
    said = {face["face_id"]: face["threshold"] for face in faces}
    assert said == {
        name: pytest.approx(threshold(CURVE, 2, 0.01, templates)) for name, templates in (("one", 1), ("many", 9))
    }


async def test_a_match_behind_which_many_faces_of_its_member_were_named_may_still_be_ambiguous(chain: Cluster) -> None:
    await chain.http.put("/v1/members/c-1", json={"display_name": "Ann"})
    await chain.http.put("/v1/stores/A", json={"margin": 0.01})
    for nth in range(6):
        await chain.enrol("A", turned(unit(1), 0.97 - nth / 10_000, nth + 2), face_id=f"ann-{nth}", kind="member")
        bound = await chain.http.put(f"/v1/members/c-1/faces/A/ann-{nth}")
        assert bound.is_success, bound.text
    (alone,) = await ask(chain, unit(1), min_version=12)
    await chain.enrol("A", turned(unit(1), 0.969, 50), face_id="bea")
    (result,) = await ask(chain, unit(1))
    assert (alone["verdict"], result["reason"]) == ("match", "AMBIGUOUS")


async def test_what_was_not_covered_says_so(chain: Cluster) -> None:
    await chain.enrol("A", unit(1), face_id="x")
    del chain.shards.apps["s2-a"]
    (result,) = await ask(chain, unit(2))
    assert (result["verdict"], result["reason"]) == ("inconclusive", "NOT_COVERED")


async def test_a_face_made_of_a_track_counts_the_photos_of_the_track(chain: Cluster) -> None:
    row = unit(1)
    track = np.concatenate([turned(row, 0.99, seed) for seed in (2, 3, 4)])
    seen = await chain.http.post("/v1/stores/A/sightings", json={"embeddings": track.tolist(), "track": "t"})
    assert seen.json()["faces"][0]["new"] is True
    (result,) = await ask(chain, row)
    assert result["candidates"][0]["photos"] == 3


async def test_an_unknown_space_is_refused_by_name_and_another_one_is_a_migration(chain: Cluster) -> None:
    refused = await chain.http.put("/v1/stores/N", json={"space": "from-the-future"})
    assert (refused.status_code, refused.json()["code"]) == (422, "UNKNOWN_SPACE")
    assert refused.json()["limit"] == [DLIB_SPACE]
    assert (await chain.http.put("/v1/stores/A", json={"space": DLIB_SPACE})).status_code == 200
    (known,) = (await chain.http.get("/v1/spaces")).json()["spaces"]
    assert (known["space"], known["dimension"]) == (DLIB_SPACE, D)
    assert known["measured_rows"] > 10_000
