"""A real cluster with three embedding spaces: dlib's, a FaceNet's and an ArcFace's, each with stores of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.local.cluster import LocalCluster
from deploy.local.embedded_redis import free_port
from tests.conftest import REPOSITORY
from tests.gateway import small_models
from tests.gateway.encoder_photos import portrait, saved
from tests.gateway.small_models import ARCFACE, FACENET

pytestmark = pytest.mark.cluster
SPACES = {"dlib": None, "facenet": FACENET, "arcface": ARCFACE}
ENROLLED, AGAIN = saved(portrait(), "PNG"), saved(portrait(), "JPEG", quality=95)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Two shards; two stores of each space, all in one group; ada is enrolled at the first store of each."""
    models = tmp_path_factory.mktemp("models")
    small_models.facenet(models)
    small_models.arcface(models)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("FACEGRID_MODELS", str(models))
        environment.setenv("FACEGRID_ENCODER_WORKERS", "1")
        with LocalCluster(tmp_path_factory.mktemp("cluster"), shards=2, port=free_port()) as running:
            for name, space in SPACES.items():
                for nth in (1, 2):
                    asked = {} if space is None else {"space": space}
                    put = httpx.put(f"{running.url}/v1/stores/{name}-{nth}", json=asked, timeout=20)
                    assert put.status_code == 201, put.text
                enrol(running.url, f"{name}-1")
            yield running.url


def enrol(url: str, store: str) -> None:
    files = [("image", ("ada.png", ENROLLED))]
    answer = httpx.post(f"{url}/v1/stores/{store}/faces", files=files, data={"face_id": "ada"}, timeout=30)
    assert answer.status_code == 201, answer.text


def search(url: str, store: str, scope: str = "auto") -> dict[str, Any]:
    files = [("image", ("again.jpg", AGAIN))]
    answer = httpx.post(f"{url}/v1/stores/{store}/search", files=files, params={"scope": scope}, timeout=30)
    assert answer.status_code == 200, answer.text
    [result] = answer.json()["results"]
    found: dict[str, Any] = result
    return found


@pytest.mark.parametrize("name", SPACES)
def test_a_photo_is_found_at_home_and_by_fan_out_in_its_own_space_alone(url: str, name: str) -> None:
    for store, scope in ((f"{name}-1", "auto"), (f"{name}-2", "auto"), (f"{name}-2", "group")):
        result = search(url, store, scope)
        assert result["verdict"] == "match"
        assert [(found["store"], found["face_id"]) for found in result["candidates"]] == [(f"{name}-1", "ada")]
    assert result["coverage"]["stores"] == {"total": 2, "searched": 2, "missing": []}


def test_an_embedding_of_the_wrong_space_gets_its_error(url: str) -> None:
    for store, dimension, wrong in (("arcface-1", 512, 128), ("facenet-1", 128, 512), ("dlib-1", 128, 512)):
        answer = httpx.post(f"{url}/v1/stores/{store}/search", json={"embeddings": [[1.0] * wrong]}, timeout=20)
        problem = answer.json()
        assert (answer.status_code, problem["code"], problem["limit"]) == (422, "WRONG_DIMENSION", dimension)


def test_a_gateway_with_a_model_that_it_cannot_use_does_not_start(tmp_path: Path) -> None:
    small_models.facenet(tmp_path, sha256="0" * 64)
    settings = {"FACEGRID_MODELS": str(tmp_path), "FACEGRID_PORT": str(free_port()), "FACEGRID_ENCODER_WORKERS": "1"}
    command = [sys.executable, "-m", "gateway"]
    ended = subprocess.run(
        command, env=os.environ | settings, cwd=REPOSITORY, capture_output=True, check=False, timeout=60
    )
    assert ended.returncode != 0
    assert b"small-facenet.onnx has the SHA-256" in ended.stderr
