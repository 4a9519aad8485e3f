"""Faces of a photo into a manifest's space: cut out as it says, and refused where its model has no answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from common.errors import InvalidImage, NotFinite, WrongDimension, ZeroVector
from gateway.encoder.alignment import ARCFACE
from gateway.encoder.dlib_chips import ChipCutter
from gateway.encoder.dlib_detector import DlibDetector
from gateway.encoder.dlib_embedder import DlibEmbedder
from gateway.encoder.face_encoder import THUMBNAIL_SIDE
from gateway.encoder.face_points import FacePoints
from gateway.encoder.manifest import EncoderManifest, read_manifest
from gateway.encoder.onnx_embedder import OnnxEmbedder, cutter
from gateway.encoder.steps import Located
from gateway.encoder.thumbnails import EARLIER_PADDING, EARLIER_SIDE, PADDING, as_photo
from tests.gateway import small_models
from tests.gateway.encoder_photos import portrait

PIXELS = np.asarray(portrait())


def manifest(path: Path) -> EncoderManifest:
    found = read_manifest(path)
    assert isinstance(found, EncoderManifest)
    return found


@pytest.fixture(scope="module")
def face() -> Located:
    [found] = DlibDetector().locate(PIXELS)
    return found


def shifted(face: Located, by: float) -> Located:
    left, top, right, bottom = face.area
    return Located((left + by, top, right + by, bottom), face.score, face.landmarks + np.array([by, 0]))


@pytest.mark.parametrize("make", [small_models.facenet, small_models.arcface])
def test_all_faces_of_a_photo_get_their_own_unit_row(tmp_path: Path, face: Located, make: Any) -> None:
    embedder = OnnxEmbedder(manifest(make(tmp_path)))
    twice = np.hstack([PIXELS, PIXELS])
    rows = embedder.embed(twice, [face, shifted(face, 300)])
    assert rows.shape == (2, embedder.dimension)
    assert rows.dtype == np.float32
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1.0, abs=1e-6)
    assert float(rows[0] @ rows[1]) > 0.99
    assert float(rows[0] @ embedder.embed(PIXELS, [face])[0]) > 0.999
    assert embedder.embed(PIXELS, []).shape == (0, embedder.dimension)


def test_arcface_sees_the_eyes_the_nose_and_the_mouth_where_its_template_has_them(
    tmp_path: Path, face: Located
) -> None:
    [chip] = cutter(manifest(small_models.arcface(tmp_path))).cut(PIXELS, [face], 112)
    framed = np.pad(chip, ((40, 40), (40, 40), (0, 0)))
    [again] = DlibDetector().locate(framed)
    off = FacePoints().of(framed, again.area) - 40 - ARCFACE
    assert np.abs(off).mean() < 4  # no face is the template's; its mean is
    assert np.abs(off.mean(axis=0)).max() < 2


def test_a_template_of_another_size_is_scaled_to_the_models_picture(tmp_path: Path, face: Located) -> None:
    half = {"points": (ARCFACE / 2).tolist(), "size": 56}
    [own] = cutter(manifest(small_models.arcface(tmp_path, alignment=half))).cut(PIXELS, [face], 112)
    [arcface] = cutter(manifest(small_models.arcface(tmp_path))).cut(PIXELS, [face], 112)
    assert np.array_equal(own, arcface)


def test_dlibs_alignment_is_dlibs(tmp_path: Path, face: Located) -> None:
    found = cutter(manifest(small_models.facenet(tmp_path, alignment="dlib", margin=0.0)))
    assert np.array_equal(found.cut(PIXELS, [face], 160), ChipCutter().cut(PIXELS, [face], 160))


def test_a_face_without_an_embedding_is_an_error_of_its_photo(tmp_path: Path, face: Located) -> None:
    embedder = OnnxEmbedder(manifest(small_models.facenet(tmp_path)))
    with pytest.raises(ZeroVector, match="small-facenet has no embedding for a face of this photo") as caught:
        embedder.embed(np.zeros_like(PIXELS), [face])
    assert (caught.value.field, caught.value.status) == ("image", 422)
    assert len(embedder.embed(PIXELS, [face])) == 1


def test_nan_for_a_face_is_an_error_of_its_photo(tmp_path: Path, face: Located) -> None:
    """The root of less than nothing, for every pixel that is not black."""
    nodes = [helper.make_node("GlobalAveragePool", ["x"], ["p"]), helper.make_node("Flatten", ["p"], ["f"])]
    nodes += [helper.make_node("Neg", ["f"], ["n"]), helper.make_node("Sqrt", ["n"], ["y"])]
    content = small_models.model(nodes, {}, small_models.picture(160, "n"), {"y": ("n", 3)})
    said = small_models.encoder_manifest("nan", 160, 3, "box") | {"input": small_models.input_of(160, 0, 1)}
    embedder = OnnxEmbedder(manifest(small_models.save(tmp_path, content, said)))
    with pytest.raises(NotFinite, match="nan has no embedding"):
        embedder.embed(PIXELS, [face])


def test_another_dimension_for_a_face_is_an_error_of_its_photo(tmp_path: Path, face: Located) -> None:
    """As many numbers as the black picture has at load, one less for what is not black."""
    nodes = [helper.make_node("GlobalAveragePool", ["x"], ["p"]), helper.make_node("Flatten", ["p"], ["f"])]
    nodes += [helper.make_node("ReduceMax", ["f"], ["lit"], keepdims=0), helper.make_node("Sign", ["lit"], ["sign"])]
    nodes += [helper.make_node("Cast", ["sign"], ["from"], to=TensorProto.INT64)]
    nodes += [helper.make_node("Unsqueeze", ["from", "axis"], ["first"])]
    nodes += [helper.make_node("Slice", ["f", "first", "end", "second"], ["y"])]
    given: Any = {"axis": np.array([0]), "end": np.array([3]), "second": np.array([1])}
    content = small_models.model(nodes, given, small_models.picture(160, "n"), {"y": ("n", "d")})
    said = small_models.encoder_manifest("odd", 160, 3, "box") | {"input": small_models.input_of(160, 0, 1)}
    embedder = OnnxEmbedder(manifest(small_models.save(tmp_path, content, said)))
    with pytest.raises(WrongDimension, match="odd has no embedding for a face of this photo"):
        embedder.embed(PIXELS, [face])


@pytest.mark.parametrize(("side", "padding"), [(THUMBNAIL_SIDE, PADDING), (EARLIER_SIDE, EARLIER_PADDING)])
def test_a_thumbnail_is_encoded_like_its_photo(face: Located, side: int, padding: float) -> None:
    embedder = DlibEmbedder()
    photo, again = as_photo(ChipCutter().cut(PIXELS, [face], side, padding)[0])
    assert float(embedder.embed(photo, [again])[0] @ embedder.embed(PIXELS, [face])[0]) > 0.99


@pytest.mark.parametrize("make", [small_models.facenet, small_models.arcface])
def test_a_thumbnail_has_an_embedding_in_spaces_of_other_alignments(tmp_path: Path, face: Located, make: Any) -> None:
    embedder = OnnxEmbedder(manifest(make(tmp_path)))
    photo, again = as_photo(ChipCutter().cut(PIXELS, [face], 112)[0])
    [row], [direct] = embedder.embed(photo, [again]), embedder.embed(PIXELS, [face])
    [other] = embedder.embed(np.ascontiguousarray(PIXELS[::-1]), [face])
    assert float(row @ direct) > max(0.5, float(row @ other))


def test_a_thumbnail_that_is_no_square_is_refused() -> None:
    with pytest.raises(InvalidImage, match="not 300 x 200 pixels"):
        as_photo(PIXELS[:200])
