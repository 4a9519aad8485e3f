"""Stores of several embedding spaces in one group: each is searched by its own, and none by another's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from redis.asyncio import Redis

from common.rekeys import Rekeys
from common.settings import GatewaySettings
from common.types import DLIB_SPACE, Vectors
from tests.gateway import small_models
from tests.gateway.in_process import Cluster, cluster, gateway_app
from tests.gateway.small_models import ARCFACE, FACENET

STORES = {
    "dlib-1": DLIB_SPACE,
    "dlib-2": DLIB_SPACE,
    "facenet-1": FACENET,
    "facenet-2": FACENET,
    "arcface-1": ARCFACE,
}


@pytest.fixture
async def three_spaces(redis_url: str, tmp_path: Path) -> AsyncIterator[Cluster]:
    small_models.facenet(tmp_path)
    small_models.arcface(tmp_path)
    async with cluster(redis_url, shards=2, models=str(tmp_path)) as running:
        for store, space in STORES.items():
            await running.create(store, space=space)
        yield running


def row(seed: int, dimension: int) -> Vectors:
    rows = np.random.default_rng(seed).normal(size=(1, dimension))
    return np.asarray(rows / np.linalg.norm(rows), dtype=np.float32)


async def search(running: Cluster, store: str, probe: Vectors, scope: str = "auto") -> httpx.Response:
    body = {"embeddings": probe.tolist()}
    return await running.http.post(f"/v1/stores/{store}/search", params={"scope": scope, "top_k": 100}, json=body)


async def only_result(running: Cluster, store: str, probe: Vectors, scope: str = "auto") -> dict[str, Any]:
    response = await search(running, store, probe, scope)
    assert response.status_code == 200, response.text
    [result] = response.json()["results"]
    found: dict[str, Any] = result
    return found


async def test_a_face_is_found_in_its_space_and_in_no_other_of_the_same_dimension(three_spaces: Cluster) -> None:
    """dlib's rows and FaceNet's have 128 numbers each: only the space keeps them apart."""
    probe = row(1, 128)
    await three_spaces.enrol("dlib-1", probe, face_id="ada")
    await three_spaces.enrol("facenet-1", row(2, 128), face_id="bob")
    assert (await only_result(three_spaces, "dlib-2", probe))["verdict"] == "match"
    for scope in ("auto", "group"):
        missed = await only_result(three_spaces, "facenet-2", probe, scope)
        assert missed["verdict"] == "no_match"
        assert {candidate["store"] for candidate in missed["candidates"]} <= {"facenet-1"}


async def test_coverage_counts_the_stores_of_the_space_alone(three_spaces: Cluster) -> None:
    for store, space in STORES.items():
        await three_spaces.enrol(store, row(3, 512 if space == ARCFACE else 128))
    for store, of_space in (("dlib-1", 2), ("facenet-2", 2), ("arcface-1", 1)):
        result = await only_result(three_spaces, store, row(4, 512 if store == "arcface-1" else 128), "group")
        assert result["coverage"]["stores"] == {"total": of_space, "searched": of_space, "missing": []}
        assert result["coverage"]["rows"] == of_space


async def test_an_embedding_of_another_dimension_is_refused_naming_the_right_one(three_spaces: Cluster) -> None:
    for store, dimension in (("arcface-1", 512), ("facenet-1", 128)):
        wrong = row(5, 640 - dimension)
        by_json = await search(three_spaces, store, wrong)
        raw = await three_spaces.http.post(
            f"/v1/stores/{store}/search",
            content=wrong.astype("<f4").tobytes()[:-4],
            headers={"Content-Type": "application/octet-stream"},
        )
        enrolled = await three_spaces.http.post(f"/v1/stores/{store}/faces", json={"embeddings": wrong.tolist()})
        for response in (by_json, raw, enrolled):
            problem = response.json()
            assert (response.status_code, problem["code"], problem["limit"]) == (422, "WRONG_DIMENSION", dimension)


async def test_a_store_cannot_be_made_in_a_space_without_a_model(three_spaces: Cluster) -> None:
    response = await three_spaces.http.put("/v1/stores/new", json={"space": "elsewhere"})
    problem = response.json()
    assert (response.status_code, problem["code"], problem["field"]) == (422, "UNKNOWN_SPACE", "space")
    assert problem["limit"] == [DLIB_SPACE, ARCFACE, FACENET]


@pytest.fixture
async def lacking(three_spaces: Cluster) -> AsyncIterator[Cluster]:
    """Another gateway of the same cluster, which knows dlib's space alone."""
    url = three_spaces.services.settings.redis_url
    settings = GatewaySettings(redis_url=url, encoder_workers=0, view_refresh_s=0.05)
    async with gateway_app(settings, three_spaces.shards) as running:
        yield running


async def test_a_gateway_without_the_model_says_so_and_serves_its_own_spaces(
    three_spaces: Cluster, lacking: Cluster
) -> None:
    await three_spaces.enrol("dlib-1", row(1, 128), face_id="ada")
    response = await search(lacking, "facenet-1", row(1, 128))
    problem = response.json()
    assert (response.status_code, problem["code"]) == (503, "ENCODER_MISSING")
    assert "small-facenet" in problem["detail"]
    assert (await only_result(lacking, "dlib-2", row(1, 128)))["verdict"] == "match"


@pytest.mark.parametrize("path", ["/v1/stores/facenet-1/faces", "/v1/stores/facenet-1/sightings", "/recognize"])
async def test_a_gateway_without_the_model_says_so_of_photos_too(lacking: Cluster, path: str) -> None:
    fields = {"store": "facenet-1"} if path == "/recognize" else {}
    response = await lacking.http.post(path, files=[("image", ("ada.png", b"not looked at"))], data=fields)
    problem = response.json()
    assert (response.status_code, problem["code"]) == (503, "ENCODER_MISSING")
    assert "small-facenet" in problem["detail"]


async def test_a_gateway_without_the_model_erases_to_the_end(
    three_spaces: Cluster, lacking: Cluster, redis: Redis
) -> None:
    await three_spaces.enrol("facenet-1", row(1, 128), face_id="ada")
    erased = await lacking.http.delete("/v1/stores/facenet-1/faces/ada")
    assert (erased.status_code, erased.json()["complete"]) == (200, True)
    job = await Rekeys(redis).job("facenet-1", "ada")
    assert job is not None
    assert job.swept  # nothing waits for a leader that has the model
