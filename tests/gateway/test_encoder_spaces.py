"""The encoder pool with models of one's own: every space from one photo, and no start with one that cannot be used."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from PIL import Image

from common.errors import BrokenModel, InvalidImage, InvalidManifest, NotAnImage, UnknownSpace, WrongHash, ZeroVector
from common.settings import EncoderSettings
from common.types import DLIB_SPACE
from gateway.encoder import EncodedFace, EncoderPool
from gateway.encoder import pool as pool_module
from tests.gateway import small_models
from tests.gateway.encoder_photos import portrait, saved
from tests.gateway.small_models import ARCFACE, FACENET, Face

pytestmark = pytest.mark.asyncio(loop_scope="module")
PHOTO = saved(portrait(), "PNG")
POINTS = [[113.0, 101.0], [156.0, 104.0], [135.0, 127.0], [111.0, 139.0], [155.0, 141.0]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EncoderPool]:
    """dlib's space and two others; faces are found by a YuNet that knows where the portrait's is."""
    folder = tmp_path_factory.mktemp("models")
    small_models.facenet(folder)
    small_models.arcface(folder)
    box = (95.0, 60.0, 175.0, 165.0)
    small_models.yunet(folder, [Face(box, POINTS, 0.9)], size=288)  # the portrait is 300, a hair larger
    async with EncoderPool(settings(folder, detector="small-yunet")) as pool:
        yield pool


def settings(folder: Path, detector: str = "dlib") -> EncoderSettings:
    return EncoderSettings(encoder_workers=1, models=str(folder), detector=detector)


async def only_face(pool: EncoderPool, space: str, *, thumbnails: bool = False) -> EncodedFace:
    [face] = (await pool.encode(PHOTO, space, thumbnails=thumbnails)).faces
    return face


async def test_a_photo_is_encoded_in_the_space_that_was_asked_for(pool: EncoderPool) -> None:
    assert pool.spaces == {DLIB_SPACE, FACENET, ARCFACE}
    faces = [await only_face(pool, space) for space in (DLIB_SPACE, FACENET, ARCFACE)]
    assert [len(face.embedding) for face in faces] == [128, 128, 512]
    assert len({face.box for face in faces}) == len({face.quality for face in faces}) == 1
    for face in faces:
        assert np.linalg.norm(face.embedding) == pytest.approx(1.0, abs=1e-6)
    assert abs(float(faces[0].embedding @ faces[1].embedding)) < 0.5


async def test_a_thumbnail_is_encoded_again_in_any_space(pool: EncoderPool) -> None:
    thumbnail = (await only_face(pool, DLIB_SPACE, thumbnails=True)).thumbnail
    assert thumbnail is not None
    for space, least in ((DLIB_SPACE, 0.99), (FACENET, 0.5), (ARCFACE, 0.95)):
        row = await pool.encode_thumbnail(thumbnail, space)
        assert float(row @ (await only_face(pool, space)).embedding) > least


async def test_what_is_wrong_with_a_job_is_told_and_harms_no_worker(pool: EncoderPool) -> None:
    [pid] = pool.worker_pids
    with pytest.raises(UnknownSpace, match="no model of elsewhere; it has dlib-resnet-v1, small-arcface") as caught:
        await pool.encode(PHOTO, "elsewhere")
    assert caught.value.limit == [DLIB_SPACE, ARCFACE, FACENET]
    with pytest.raises(InvalidImage, match="A thumbnail is a square"):
        await pool.encode_thumbnail(saved(portrait().crop((0, 0, 200, 100)), "JPEG"), FACENET)
    with pytest.raises(NotAnImage):
        await pool.encode_thumbnail(b"no picture", FACENET)
    with pytest.raises(ZeroVector, match="small-facenet has no embedding"):
        await pool.encode_thumbnail(saved(Image.new("RGB", (112, 112)), "JPEG"), FACENET)
    assert pool.worker_pids == [pid]


async def test_a_model_that_was_exchanged_stops_the_start(tmp_path: Path) -> None:
    small_models.facenet(tmp_path)
    small_models.arcface(tmp_path)
    (tmp_path / f"{FACENET}.onnx").write_bytes((tmp_path / f"{ARCFACE}.onnx").read_bytes())
    pool = EncoderPool(settings(tmp_path))
    with pytest.raises(WrongHash, match=r"small-facenet\.onnx has the SHA-256"):
        await pool.start()
    assert pool.worker_pids == []


async def test_a_model_of_another_dimension_stops_the_start(tmp_path: Path) -> None:
    manifest = small_models.facenet(tmp_path)
    manifest.write_text(manifest.read_text().replace('"dimension": 128', '"dimension": 512'))
    with pytest.raises(BrokenModel, match=r"small-facenet\.onnx: its outputs .* the manifest says \[n, 512\]"):
        await EncoderPool(settings(tmp_path)).start()


@pytest.mark.parametrize("ends", [True, False])
async def test_a_process_that_cannot_load_its_models_stops_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    """It dies of a model, or is not done with it in time."""
    small_models.facenet(tmp_path)
    monkeypatch.setattr(pool_module, "LOADING_S", 60.0 if ends else 0.05)
    pool = EncoderPool(settings(tmp_path))
    if ends:
        asyncio.get_running_loop().call_later(0.05, pool._workers[0].kill)
    why = "died" if ends else "took too long and was ended"
    with pytest.raises(BrokenModel, match=rf"{why} while it loaded its models\..* small-facenet\.onnx"):
        await pool.start()
    assert pool.worker_pids == []


async def test_a_gateway_with_a_model_that_it_cannot_use_says_so_in_one_line(tmp_path: Path, redis_url: str) -> None:
    small_models.facenet(tmp_path, sha256="0" * 64)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    env = os.environ | {"FACEGRID_MODELS": str(tmp_path), "FACEGRID_PORT": port, "FACEGRID_REDIS_URL": redis_url}
    gateway = await asyncio.create_subprocess_exec(sys.executable, "-m", "gateway", env=env, stderr=subprocess.PIPE)
    _, said = await asyncio.wait_for(gateway.communicate(), 60)
    assert gateway.returncode == 2
    [line] = said.decode().splitlines()
    assert "small-facenet.onnx has the SHA-256" in line


async def test_a_detector_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(InvalidManifest, match="There is no detector yunet; there are dlib"):
        EncoderPool(settings(tmp_path, detector="yunet"))
