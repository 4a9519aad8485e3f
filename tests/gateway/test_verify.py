"""Verification (1:1): the threshold follows the FMR asked for and the templates of the stored face."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from common.types import DLIB_SPACE, Vectors
from gateway.spaces import Spaces
from gateway.verification import compare, fmr_at
from tests.gateway.in_process import Cluster, cluster, unit

CURVE = Spaces.load("").of(DLIB_SPACE).curve


@pytest_asyncio.fixture
async def chain(redis_url: str) -> AsyncIterator[Cluster]:
    async with cluster(redis_url, shards=1) as started:
        await started.create("A")
        yield started


def alike(row: Vectors, score: float) -> Vectors:
    """(1, 128): a unit vector with this inner product with `row` (1, 128)."""
    other = unit(99)[0] - (unit(99)[0] @ row[0]) * row[0]
    made = score * row[0] + math.sqrt(1 - score**2) * other / np.linalg.norm(other)
    return np.asarray(made[None], dtype=np.float32)


async def verify(chain: Cluster, *rows: Vectors, **fields: object) -> dict[str, object]:
    body = {"embeddings": [row.tolist() for each in rows for row in each], **fields}
    answer: dict[str, object] = (await chain.http.post("/v1/verify", json=body)).json()
    return answer


@pytest.mark.parametrize("templates", [1, 3, 10])
@pytest.mark.parametrize("fmr", [3e-3, 1e-4, 1.7e-5])
def test_the_fmr_of_a_score_is_the_one_whose_threshold_it_is(templates: int, fmr: float) -> None:
    assert fmr_at(CURVE, CURVE.score_at(fmr, templates), templates) == pytest.approx(fmr, rel=1e-3)


def test_the_fmr_of_a_score_stays_within_what_was_measured() -> None:
    assert fmr_at(CURVE, 1.0) == CURVE.points[-1].fmr
    assert fmr_at(CURVE, -1.0) == CURVE.points[0].fmr


def test_a_score_at_the_threshold_matches() -> None:
    threshold = CURVE.score_at(1e-4, 3)
    assert compare(CURVE, threshold, 1e-4, photos=3).match
    assert not compare(CURVE, np.nextafter(threshold, 0), 1e-4, photos=3).match


async def test_an_answer_says_the_threshold_at_the_fmr_asked_for(chain: Cluster) -> None:
    score = (CURVE.score_at(1e-3) + CURVE.score_at(1e-5)) / 2
    rows = unit(1), alike(unit(1), score)
    lenient, strict = await verify(chain, *rows), await verify(chain, *rows, fmr=1e-5)
    assert (lenient["fmr"], lenient["match"]) == (0.001, True)
    assert (strict["fmr"], strict["match"]) == (1e-5, False)
    assert lenient["threshold"] == pytest.approx(CURVE.score_at(1e-3))
    assert strict["threshold"] == pytest.approx(CURVE.score_at(1e-5))
    assert lenient["score"] == strict["score"] == pytest.approx(score, abs=1e-5)
    assert lenient["distance"] == pytest.approx(math.sqrt(2 - 2 * score), abs=1e-4)
    assert lenient["fmr_at_score"] == pytest.approx(fmr_at(CURVE, score), rel=0.01)


async def test_a_stored_face_of_several_templates_is_held_to_a_higher_threshold(chain: Cluster) -> None:
    near = [alike(unit(1), 0.97), alike(unit(1), 0.96)]
    await chain.enrol("A", unit(1), face_id="one")
    await chain.enrol("A", np.concatenate([unit(1), *near]), face_id="three")
    one = await verify(chain, unit(1), store="A", face_id="one")
    three = await verify(chain, unit(1), store="A", face_id="three")
    assert (one["photos"], three["photos"]) == (1, 3)
    assert one["threshold"] == pytest.approx(CURVE.score_at(1e-3, 1))
    assert three["threshold"] == pytest.approx(CURVE.score_at(1e-3, 3))
    assert one["space"] == DLIB_SPACE


async def test_a_stored_face_made_of_a_track_is_held_to_the_threshold_that_a_search_holds_it_to(chain: Cluster) -> None:
    await chain.enrol("A", unit(2), face_id="somebody")  # the store is served once that is visible
    track = np.concatenate([alike(unit(1), 0.97), alike(unit(1), 0.96), unit(1)])
    body = {"embeddings": track.tolist(), "track": "t"}
    (seen,) = (await chain.http.post("/v1/stores/A/sightings", json=body)).json()["faces"]
    answer = await verify(chain, unit(1), store="A", face_id=seen["face_id"])
    assert answer["threshold"] == pytest.approx(CURVE.score_at(1e-3, 3))


async def test_an_fmr_beyond_what_was_measured_says_so(chain: Cluster) -> None:
    beyond, within = await verify(chain, *[unit(1)] * 2, fmr=2e-9), await verify(chain, *[unit(1)] * 2, fmr=1e-4)
    assert (beyond["threshold_measured"], within["threshold_measured"]) == (False, True)


@pytest.mark.parametrize("fmr", [0, 1, -0.1, 1e-10])
async def test_an_fmr_is_a_chance_that_can_be_measured(chain: Cluster, fmr: float) -> None:
    refused = await verify(chain, *[unit(1)] * 2, fmr=fmr)
    assert (refused["code"], refused["field"]) == ("INVALID_REQUEST", "fmr")


async def test_a_form_field_that_is_no_number_is_named(chain: Cluster) -> None:
    files: dict[str, Any] = {"image": ("a.jpg", b"x"), "fmr": (None, "small")}
    body = (await chain.http.post("/v1/verify", files=files)).json()
    assert (body["code"], body["field"]) == ("INVALID_REQUEST", "fmr")


async def test_an_unknown_space_is_refused_with_those_there_are(chain: Cluster) -> None:
    refused = await verify(chain, *[unit(1)] * 2, space="facenet-v9")
    assert (refused["code"], refused["field"], refused["limit"]) == ("UNKNOWN_SPACE", "space", [DLIB_SPACE])


async def test_a_stored_face_is_compared_in_its_own_space_only(chain: Cluster) -> None:
    await chain.enrol("A", unit(1), face_id="ada")
    refused = await verify(chain, unit(1), store="A", face_id="ada", space="facenet-v9")
    assert (refused["code"], refused["field"], refused["limit"]) == ("WRONG_SPACE", "space", DLIB_SPACE)


async def test_embeddings_of_another_length_are_refused(chain: Cluster) -> None:
    refused = await verify(chain, unit(1)[:, :64], unit(2))
    assert (refused["code"], refused["field"], refused["limit"]) == ("WRONG_DIMENSION", "embeddings[0]", 128)
