"""What a manifest must say, and what is answered to one that says it wrongly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from common.errors import InvalidCurve, InvalidManifest, UnknownSpace, WrongHash
from common.types import DLIB_SPACE
from gateway.encoder.manifest import EncoderManifest, Template, read_manifest, read_models
from gateway.spaces import Spaces
from tests.gateway import small_models

POINTS = [[1.0, 2.0], [3.0, 2.0], [2.0, 3.0], [1.0, 4.0], [3.0, 4.0]]


def test_an_encoder_is_read_whole(tmp_path: Path) -> None:
    found = read_manifest(small_models.facenet(tmp_path))
    assert isinstance(found, EncoderManifest)
    assert (found.space, found.dimension, found.alignment, found.margin) == ("small-facenet", 128, "box", 0.2)
    assert found.input.size == 160
    assert found.input.std == (128, 128, 128)
    assert found.curve is not None
    assert found.curve.pairs == 1000
    assert found.read_model() == (tmp_path / "small-facenet.onnx").read_bytes()


def test_a_template_of_ones_own_is_read(tmp_path: Path) -> None:
    found = read_manifest(small_models.arcface(tmp_path, alignment={"points": POINTS, "size": 16}))
    assert isinstance(found, EncoderManifest)
    assert isinstance(found.alignment, Template)
    assert found.alignment.points[2] == (2.0, 3.0)


def test_a_folder_is_read_by_names_and_curves_are_no_manifests(tmp_path: Path) -> None:
    small_models.facenet(tmp_path)
    small_models.arcface(tmp_path)
    small_models.yunet(tmp_path, [])
    (tmp_path / "small-facenet.curve.json").write_text(json.dumps(small_models.CURVE))
    models = read_models(str(tmp_path))
    assert set(models.encoders) == {"small-facenet", "small-arcface"}
    assert models.detector("small-yunet") is models.detectors["small-yunet"]
    assert models.detector("dlib") is None
    assert not read_models("").encoders


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"kind": "encodr"}, "manifest"),
        ({"space": "no spaces"}, "space"),
        ({"space": DLIB_SPACE}, "space"),
        ({"space": 7}, "space"),
        ({"dimension": 0}, "dimension"),
        ({"dimension": "128"}, "dimension"),
        ({"file": "../x.onnx"}, "file"),
        ({"file": "/x.onnx"}, "file"),
        ({"file": ".."}, "file"),
        ({"sha256": "ABC"}, "sha256"),
        ({"input": {}}, "input.size"),
        ({"input": small_models.input_of(160) | {"layout": "NWHC"}}, "input.layout"),
        ({"input": small_models.input_of(160) | {"channels": "RBG"}}, "input.channels"),
        ({"input": small_models.input_of(160) | {"mean": [1.0]}}, "input.mean"),
        ({"input": small_models.input_of(160) | {"std": [1.0, 0.0, 1.0]}}, "input.std"),
        ({"alignment": "tight"}, "alignment"),
        ({"alignment": {"points": POINTS[:4], "size": 112}}, "alignment"),
        ({"alignment": {"points": [[5.0, 5.0]] * 5, "size": 112}}, "alignment: points: closer together"),
        ({"alignment": {"points": [[1e9, 5.0], *POINTS[1:]], "size": 16}}, "alignment: points: further"),
        ({"alignment": "arcface", "margin": 0.2}, "margin"),
        ({"input": small_models.input_of(2000)}, "input: size: a face has 1024"),
        ({"margin": -1.0}, "margin"),
        ({"curve": {"points": []}}, "curve"),
        ({"curve": small_models.CURVE | {"points": [[0.9, 0.1, 0.0], [0.8, 0.01, 0.0]]}}, "curve"),
        ({"threshold": 0.6}, "threshold"),
    ],
)
def test_a_wrong_field_is_named_with_its_file(tmp_path: Path, change: dict[str, Any], field: str) -> None:
    path = small_models.facenet(tmp_path)
    path = path.rename(tmp_path / "mine.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InvalidManifest, match=r"^mine\.json: ") as caught:
        read_manifest(path)
    assert field in caught.value.detail
    assert str(caught.value.field).startswith(field.partition(":")[0]) or field in {"manifest", "margin"}


@pytest.mark.parametrize("text", ["", "[]", "{", '{"kind": "encoder"}', "\0\xff", "[" * 100_000, " " * 1_000_001])
def test_what_is_no_manifest_at_all_is_told_so(tmp_path: Path, text: str) -> None:
    (tmp_path / "odd.json").write_text(text)
    with pytest.raises(InvalidManifest, match=r"odd\.json"):
        read_models(str(tmp_path))


def test_two_manifests_of_one_name_are_refused(tmp_path: Path) -> None:
    path = small_models.facenet(tmp_path)
    (tmp_path / "other.json").write_text(path.read_text())
    with pytest.raises(InvalidManifest, match="small-facenet is the name of another"):
        read_models(str(tmp_path))


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidManifest, match="no folder of models"):
        read_models(str(tmp_path / "none"))


def test_a_detector_that_is_not_there_is_refused_naming_those_that_are(tmp_path: Path) -> None:
    small_models.scrfd(tmp_path, [])
    with pytest.raises(InvalidManifest, match="no detector yunet; there are dlib, small-scrfd"):
        read_models(str(tmp_path)).detector("yunet")


def test_a_model_that_was_changed_or_is_missing_is_not_read(tmp_path: Path) -> None:
    manifest = read_manifest(small_models.facenet(tmp_path))
    model = tmp_path / "small-facenet.onnx"
    model.write_bytes(model.read_bytes() + b"\0")
    with pytest.raises(
        WrongHash, match=r"small-facenet\.onnx has the SHA-256 [0-9a-f]{64}; its manifest says"
    ) as caught:
        manifest.read_model()
    assert caught.value.limit == manifest.sha256
    model.unlink()
    with pytest.raises(InvalidManifest, match=r"small-facenet\.onnx cannot be read: No such file"):
        manifest.read_model()


def test_a_manifest_makes_a_space(tmp_path: Path) -> None:
    small_models.facenet(tmp_path)
    spaces = Spaces.load(str(tmp_path))
    assert spaces.names == (DLIB_SPACE, "small-facenet")
    space = spaces.of("small-facenet")
    assert (space.dimension, space.curve.people, space.least_alike) == (128, 10, 0.9)
    with pytest.raises(UnknownSpace, match="There is no embedding space other; there are dlib"):
        spaces.of("other")


def test_a_space_needs_a_curve_from_its_manifest_or_from_calibrate(tmp_path: Path) -> None:
    small_models.facenet(tmp_path, curve=None)
    with pytest.raises(
        InvalidManifest, match=r"small-facenet\.json: curve: .* `facegrid calibrate` measures one"
    ) as caught:
        Spaces.load(str(tmp_path))
    assert caught.value.field == "curve"
    (tmp_path / "small-facenet.curve.json").write_text(json.dumps(small_models.CURVE | {"people": 77}))
    assert Spaces.load(str(tmp_path)).of("small-facenet").curve.people == 77


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[" * 100_000])
def test_a_measured_curve_that_cannot_be_read_is_named(tmp_path: Path, content: bytes) -> None:
    small_models.facenet(tmp_path)
    (tmp_path / "small-facenet.curve.json").write_bytes(content)
    with pytest.raises(InvalidCurve, match=r"small-facenet\.curve\.json"):
        Spaces.load(str(tmp_path))


def test_a_curve_that_was_measured_in_another_space_is_refused(tmp_path: Path) -> None:
    small_models.facenet(tmp_path)
    (tmp_path / "small-facenet.curve.json").write_text(json.dumps(small_models.CURVE | {"space": DLIB_SPACE}))
    with pytest.raises(InvalidCurve, match=r"small-facenet\.curve\.json: The curve is of the space dlib") as caught:
        Spaces.load(str(tmp_path))
    assert caught.value.field == "space"
