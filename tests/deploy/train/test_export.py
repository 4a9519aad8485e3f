"""A network as a model that a gateway serves: the same embeddings, a manifest, a curve; or nothing at all."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.errors import CannotTrain
from common.types import Vectors
from common.vectors import unit_rows
from gateway.encoder.manifest import EncoderManifest, read_models
from gateway.encoder.onnx_model import EmbeddingModel
from tests.deploy.train.made import NO_TORCH, RECIPE, faces

torch = pytest.importorskip("torch", reason=NO_TORCH)

from deploy.train.augment import as_input  # noqa: E402
from deploy.train.export import export, to_onnx  # noqa: E402
from deploy.train.loop import build  # noqa: E402
from deploy.train.networks import Unit  # noqa: E402
from deploy.train.recipe import Alignment, Backbone  # noqa: E402

HELD_OUT = faces(people=10, photos=4, seed=1)
PIXELS = torch.from_numpy(HELD_OUT.stored)


def rows_of(network: Any) -> Vectors:
    with torch.inference_mode():
        rows: Vectors = Unit(network).eval()(as_input(PIXELS)).numpy()
    return rows


@pytest.fixture(scope="module")
def network() -> Any:
    """With statistics of batches as training leaves them."""
    found = build(RECIPE)
    with torch.no_grad():
        for _ in range(20):
            found(as_input(PIXELS))
    return found.eval()


def served(folder: Path, space: str = RECIPE.space) -> tuple[EncoderManifest, Vectors]:
    """The manifest, and the rows that a gateway makes of the held-out faces."""
    manifest = read_models(str(folder)).encoders[space]
    return manifest, unit_rows(EmbeddingModel(manifest).embed(HELD_OUT.stored), manifest.dimension)


def test_a_gateway_that_reads_the_folder_gives_torchs_embeddings(network: Any, tmp_path: Path) -> None:
    exported = export(network, RECIPE, HELD_OUT, rows_of(network), tmp_path / "export")
    manifest, rows = served(tmp_path / "export")
    assert float(np.abs(rows - rows_of(network)).max()) <= exported.difference <= 1e-4
    assert (manifest.input.size, manifest.dimension, manifest.alignment) == (32, 16, "dlib")
    assert manifest.curve is not None
    assert (manifest.curve.people, manifest.curve.pairs) == (10, 780 - 60)
    assert manifest.curve.points[-1].fmr * 720 >= 10


def test_the_model_takes_any_number_of_faces(network: Any) -> None:
    import onnxruntime  # noqa: PLC0415  # where torch is absent nothing here needs it

    session = onnxruntime.InferenceSession(to_onnx(network, 32), providers=["CPUExecutionProvider"])
    whole = session.run(None, {"faces": as_input(PIXELS).numpy()})[0]
    single = session.run(None, {"faces": as_input(PIXELS[3:4]).numpy()})[0]
    assert whole.shape == (40, 16)
    assert np.allclose(whole[3], single[0], atol=1e-5)


def test_inception_resnet_is_exported_too(tmp_path: Path) -> None:
    recipe = replace(RECIPE, backbone=Backbone.INCEPTION_RESNET_V1, size=80)
    network = build(recipe).eval()
    larger = as_input(torch.from_numpy(HELD_OUT.stored[:4].repeat(3, axis=1).repeat(3, axis=2)[:, :80, :80]))
    with torch.inference_mode():
        rows = Unit(network)(larger).numpy()
    file = tmp_path / "model.onnx"
    file.write_bytes(to_onnx(network, 80))
    import onnxruntime  # noqa: PLC0415

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    found = session.run(None, {"faces": larger.numpy()})[0]
    assert np.abs(found - rows).max() < 1e-4


def test_embeddings_that_differ_are_not_published(network: Any, tmp_path: Path) -> None:
    wrong = rows_of(network)
    wrong[7, 3] += 2e-4
    with pytest.raises(CannotTrain, match=r"differ by 0\.0002") as caught:
        export(network, RECIPE, HELD_OUT, wrong, tmp_path / "export")
    assert (caught.value.field, caught.value.limit) == ("difference", 1e-4)
    assert read_models(str(tmp_path / "export")).encoders == {}


def test_a_second_export_replaces_the_first_and_its_file(network: Any, tmp_path: Path) -> None:
    export(network, RECIPE, HELD_OUT, rows_of(network), tmp_path / "export")
    first = set((tmp_path / "export").glob("*.onnx"))
    other = build(replace(RECIPE, seed=9)).eval()
    export(other, RECIPE, HELD_OUT, rows_of(other), tmp_path / "export")
    assert set((tmp_path / "export").glob("*.onnx")).isdisjoint(first)
    assert len(list((tmp_path / "export").iterdir())) == 2
    assert np.allclose(served(tmp_path / "export")[1], rows_of(other), atol=1e-4)


def test_a_box_has_its_margin_in_the_manifest(network: Any, tmp_path: Path) -> None:
    recipe = replace(RECIPE, alignment=Alignment.BOX, box_margin=0.3)
    export(network, recipe, HELD_OUT, rows_of(network), tmp_path / "export")
    manifest, _ = served(tmp_path / "export")
    assert (manifest.alignment, manifest.margin) == ("box", 0.3)
    assert json.loads(manifest.source.partition(", ")[2]) == recipe.to_dict()
