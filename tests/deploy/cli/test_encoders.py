"""`facegrid encoders` and `encoders check`, with small models of the tests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.cli.encoders import encoders
from tests.deploy.cli.test_commands import Ended
from tests.gateway import small_models
from tests.gateway.encoder_photos import portrait


def facegrid(*arguments: str, folder: Path | None = None) -> Ended:
    env = {"FACEGRID_MODELS": "" if folder is None else str(folder), "COLUMNS": "80"}
    done = CliRunner().invoke(encoders, list(arguments), env=env)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return Ended(done.exit_code, done.stdout, done.stderr)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "ada.png"
    portrait().save(path)
    return path


def test_every_space_is_listed_with_what_is_known_of_it(tmp_path: Path) -> None:
    small_models.facenet(tmp_path)
    small_models.yunet(tmp_path, [])
    listed = facegrid(folder=tmp_path)
    assert listed.code == 0, listed.err
    [dlib] = [line.split() for line in listed.out.splitlines() if line.startswith(" dlib-resnet-v1")]
    assert dlib == ["dlib-resnet-v1", "128", "dlib's", "dlib", "2,739", "17.6", "M", "1e-06"]
    [own] = [line.split() for line in listed.out.splitlines() if line.startswith(" small-facenet")]
    assert own[3:] == ["box", "10", "1,000", "1e-04"]
    assert "Detectors: dlib (chosen), small-yunet." in listed.out
    assert max(map(len, listed.out.splitlines())) <= 80


def test_without_a_folder_there_is_dlib(tmp_path: Path) -> None:
    assert "Detectors: dlib (chosen)." in facegrid().out
    assert "small" not in facegrid().out
    small_models.arcface(tmp_path)
    assert "small-arcface" in facegrid("--models", str(tmp_path)).out


def test_what_would_keep_a_gateway_from_starting_is_said(tmp_path: Path) -> None:
    small_models.facenet(tmp_path, curve=None)
    small_models.arcface(tmp_path, sha256="0" * 64)
    listed = facegrid(folder=tmp_path)
    assert listed.code == 1
    assert "`facegrid calibrate` measures one. [INVALID_MANIFEST]" in listed.err
    assert "small-arcface.onnx has the SHA-256" in listed.err
    assert "[WRONG_HASH]" in listed.err


def test_a_curve_that_belongs_to_no_space_is_named(tmp_path: Path) -> None:
    small_models.facenet(tmp_path)
    (tmp_path / "small-facenett.curve.json").write_text("{}")
    listed = facegrid(folder=tmp_path)
    assert listed.code == 0
    assert "small-facenett.curve.json is of no space that is here: it is not used." in listed.out


def test_a_manifest_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = small_models.facenet(tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"dimension": "many"}))
    refused = facegrid(folder=tmp_path)
    assert refused.code == 1
    assert "small-facenet.json: dimension: " in refused.err


def test_a_photo_is_run_through_an_encoder_and_its_embedding_is_not_shown(tmp_path: Path, photo: Path) -> None:
    small_models.arcface(tmp_path)
    small_models.facenet(tmp_path, sha256="0" * 64)  # another model's trouble is no trouble here
    checked = facegrid("check", str(photo), "--space", "small-arcface", folder=tmp_path)
    assert checked.code == 0, checked.err
    assert "ada.png: 300 x 300 pixels, 1 faces by dlib." in checked.out
    assert "small-arcface: 512 numbers a face, of length 1.0000 to 1.0000." in checked.out
    assert "detecting" in checked.out
    assert len(checked.out) < 1000


def test_a_space_that_is_not_there_is_a_usage_error_naming_those_that_are(photo: Path) -> None:
    refused = facegrid("check", str(photo), "--space", "other")
    assert refused.code == 2
    assert "dlib-resnet-v1" in refused.err


def test_a_broken_model_and_a_file_that_is_no_photo_are_told(tmp_path: Path, photo: Path) -> None:
    small_models.facenet(tmp_path, dimension=64, file="small-arcface.onnx")
    small_models.arcface(tmp_path)
    manifest = tmp_path / "small-facenet.json"
    said = json.loads((tmp_path / "small-arcface.json").read_text())
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"sha256": said["sha256"]}))
    broken = facegrid("check", str(photo), "--space", "small-facenet", folder=tmp_path)
    assert broken.code == 1
    assert "small-arcface.onnx: its input has the shape" in broken.err
    assert "is not one of JPEG" in facegrid("check", str(manifest), folder=tmp_path).err
