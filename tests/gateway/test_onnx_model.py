"""Models that are not what their manifest says, each found when it is opened and named."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from common.errors import BrokenModel
from gateway.encoder.manifest import EncoderManifest, ModelInput, read_manifest
from gateway.encoder.onnx_model import EmbeddingModel, as_input
from tests.gateway import small_models
from tests.gateway.small_models import encoder_manifest, input_of, model, picture, projection, save

PIXELS = np.random.default_rng(5).integers(0, 256, size=(20, 16, 16, 3), dtype=np.uint8)


def opened(path: Path) -> EmbeddingModel:
    manifest = read_manifest(path)
    assert isinstance(manifest, EncoderManifest)
    return EmbeddingModel(manifest)


def saved(folder: Path, content: bytes, **changes: Any) -> Path:
    return save(folder, content, encoder_manifest("small", 32, 8, "box") | changes)


def one_node(operator: str, shape: tuple[int | str, ...], output: tuple[int | str, ...], **attributes: Any) -> bytes:
    return model([helper.make_node(operator, ["x"], ["y"], **attributes)], {}, shape, {"y": output})


def of_bytes() -> bytes:
    nodes = [helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT), helper.make_node("Flatten", ["f"], ["y"])]
    return model(nodes, {}, picture(32, "n"), {"y": ("n", 3072)}, TensorProto.UINT8)


def of_two_inputs() -> bytes:
    made = onnx.load_model_from_string(projection(32, 8, seed=0))
    made.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["n", 1]))
    made.graph.node.append(helper.make_node("Identity", ["mask"], ["unused"]))
    content: bytes = made.SerializeToString()
    return content


def of_nothing() -> bytes:
    """The logarithm of minus one, at a black picture."""
    nodes = [helper.make_node("GlobalAveragePool", ["x"], ["p"]), helper.make_node("Flatten", ["p"], ["f"])]
    nodes += [helper.make_node("Log", ["f"], ["y"])]
    return model(nodes, {}, picture(32, "n"), {"y": ("n", 3)})


@pytest.mark.parametrize(
    ("made", "changes", "message"),
    [
        (lambda: b"", {}, "onnxruntime cannot load it"),
        (lambda: b"no model at all", {}, "onnxruntime cannot load it"),
        (lambda: projection(32, 8, seed=0)[:-500], {}, "onnxruntime cannot load it"),
        (of_two_inputs, {}, "it has 2 inputs, not 1"),
        (of_bytes, {"dimension": 3072}, r"its input is tensor\(uint8\)"),
        (lambda: projection(48, 8, seed=0), {}, r"its input has the shape .*48, 48\]; the manifest says .*32, 32\]"),
        (lambda: projection(32, 8, seed=0), {"input": input_of(32) | {"layout": "NHWC"}}, r"NHWC"),
        (lambda: projection(32, 8, seed=0, batch=4), {}, "it takes exactly 4 pictures at once"),
        (lambda: projection(32, 8, seed=0), {"dimension": 16}, r"\[2, 8\]; the manifest says \[n, 16\]"),
        (lambda: one_node("Flatten", ("n", 12), ("n", 12)), {}, "its input has the shape"),
        (lambda: one_node("GlobalAveragePool", picture(32, "n"), ("n", 3, 1, 1)), {"dimension": 3}, r"\[2, 3, 1, 1\]"),
        (lambda: one_node("Flatten", picture(32, "n"), (1, 6144), axis=0), {"dimension": 3072}, r"\[1, 6144\]"),
        (of_nothing, {"dimension": 3}, "holds NaN or infinity for a black picture"),
    ],
)
def test_a_broken_model_is_named_with_what_is_wrong(
    tmp_path: Path, made: Callable[[], bytes], changes: dict[str, Any], message: str
) -> None:
    path = saved(tmp_path, made(), **changes)
    with pytest.raises(BrokenModel, match=message) as caught:
        opened(path)
    assert caught.value.detail.startswith("small.onnx: ")
    assert caught.value.field == "file"


def test_weights_in_a_file_of_their_own_are_refused_for_the_hash_does_not_cover_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = onnx.load_model_from_string(projection(32, 8, seed=0))
    onnx.save_model(made, tmp_path / "apart.onnx", save_as_external_data=True, location="weights", size_threshold=0)
    monkeypatch.chdir(tmp_path)  # where onnxruntime would look
    with pytest.raises(BrokenModel, match="onnxruntime cannot load it"):
        opened(saved(tmp_path, (tmp_path / "apart.onnx").read_bytes()))


def test_a_batch_gives_what_each_picture_gives_alone_however_many_there_are(tmp_path: Path) -> None:
    many, single = (
        opened(save(tmp_path, projection(16, 8, seed=0, batch=batch), encoder_manifest(name, 16, 8, "box")))
        for name, batch in (("many", "n"), ("single", 1))
    )
    rows = many.embed(PIXELS)
    assert rows.shape == (20, 8)
    assert np.allclose(rows, single.embed(PIXELS), atol=1e-5)
    assert np.allclose(rows[19:], many.embed(PIXELS[19:]), atol=1e-5)


def test_the_embedding_is_what_numpy_computes(tmp_path: Path) -> None:
    found = opened(small_models.save(tmp_path, projection(16, 8, seed=3), encoder_manifest("small", 16, 8, "box")))
    weights = np.random.default_rng(3).normal(size=(768, 8)).astype(np.float32)
    flat = ((PIXELS[:1].astype(np.float32) - 127.5) / 128).transpose(0, 3, 1, 2).reshape(1, -1)
    assert np.allclose(found.embed(PIXELS[:1]), (flat - flat.mean()) @ weights, atol=1e-3)


def test_pixels_become_input_in_the_layout_and_order_of_the_manifest() -> None:
    wanted = {"size": 16, "mean": (1.0, 2.0, 3.0), "std": (1.0, 2.0, 4.0)}
    rgb = as_input(PIXELS, ModelInput.model_validate(wanted | {"layout": "NHWC", "channels": "RGB"}))
    bgr = as_input(PIXELS, ModelInput.model_validate(wanted | {"layout": "NCHW", "channels": "BGR"}))
    assert (rgb.shape, bgr.shape) == ((20, 16, 16, 3), (20, 3, 16, 16))
    assert rgb.dtype == bgr.dtype == np.float32
    assert rgb[3, 4, 5, 2] == (PIXELS[3, 4, 5, 2] - 3) / 4
    assert bgr[3, 2, 4, 5] == (PIXELS[3, 4, 5, 0] - 3.0) / 4


def test_the_runtime_keeps_and_sends_no_record_of_its_use(tmp_path: Path) -> None:
    """From 1.29 on it does: it leaves the number of a session among the temporary files, and calls its makers."""
    command = [sys.executable, "-c", "import onnxruntime"]
    subprocess.run(command, check=True, env=os.environ | {"TMPDIR": str(tmp_path)})
    assert list(tmp_path.iterdir()) == []
