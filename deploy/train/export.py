"""A trained network as a gateway serves it: an ONNX file and its manifest, with the FMR curve of the held-out people.

Before anything is published, the file is opened as the gateway opens it, and its embeddings of the held-out faces, from
the same uint8 pixels, are compared with torch's. The file is named by its hash and the manifest is replaced last, in
one step, so a folder that a gateway reads always holds a manifest and the model that it means.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from common.errors import CannotTrain
from common.types import Vectors
from common.vectors import unit_rows
from deploy.measure.curve import fit_curve
from deploy.measure.labelled import Labelled
from deploy.train.faces import FaceSet
from deploy.train.networks import Unit
from deploy.train.private import make_folder, write
from deploy.train.recipe import MEAN, STD, Alignment, Recipe
from gateway.encoder.manifest import EncoderManifest, read_manifest
from gateway.encoder.onnx_model import EmbeddingModel
from gateway.fmr import FmrCurve

FARTHEST = 1e-4
"""largest difference of a number of torch's and onnxruntime's embeddings of unit length"""
AT_ONCE = 256
"""faces read from the run's folder in one go"""
OPSET = 17


@dataclass(frozen=True, slots=True)
class Exported:
    manifest: Path
    curve: FmrCurve
    difference: float
    """largest, of any number of any held-out face's embedding"""


def export(network: Any, recipe: Recipe, held_out: FaceSet, rows: Vectors, folder: Path) -> Exported:
    """Publish the network in `folder`; `rows`: torch's unit embeddings of the held-out faces.

    Raises CannotTrain if onnxruntime's embeddings differ by more than FARTHEST; nothing is published then.
    """
    make_folder(folder)
    model = to_onnx(network, recipe.size)
    digest = hashlib.sha256(model).hexdigest()
    file = f"{recipe.space}-{digest[:12]}.onnx"
    curve = fit_curve(Labelled.of(rows, held_out.people), _source(recipe)).curve
    manifest = _manifest(recipe, curve) | {"file": file, "sha256": digest}
    write(folder / file, model)
    trial, published = folder / f"{recipe.space}.trial", folder / f"{recipe.space}.json"
    write(trial, json.dumps(manifest, indent=2).encode())
    difference = float(np.abs(_served(trial, held_out) - rows).max())
    if not difference <= FARTHEST:  # also where it is NaN
        raise CannotTrain(
            f"ONNX and torch differ by {difference:.1g}; {FARTHEST:g} is allowed.", field="difference", limit=FARTHEST
        )
    trial.replace(published)
    for other in folder.glob(f"{recipe.space}-*.onnx"):
        if other.name != file:
            other.unlink()
    return Exported(published, curve, difference)


def to_onnx(network: Any, size: int) -> bytes:
    """`Unit` of the network as an ONNX file: `faces` (n, 3, size, size) → `embeddings` (n, d), n any number.

    By torch's older exporter: the newer one needs another package, for a graph that both can write.
    """
    example = torch.zeros(2, 3, size, size)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        file = Path(folder) / "model.onnx"
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            Unit(network).eval().cpu(),
            (example,),
            file,
            dynamo=False,
            opset_version=OPSET,
            input_names=["faces"],
            output_names=["embeddings"],
            dynamic_axes={"faces": {0: "n"}, "embeddings": {0: "n"}},
        )
        return file.read_bytes()


def _manifest(recipe: Recipe, curve: FmrCurve) -> dict[str, Any]:
    box = {"margin": recipe.box_margin} if recipe.alignment is Alignment.BOX else {}
    return {
        "kind": "encoder",
        "space": recipe.space,
        "dimension": recipe.dimension,
        "input": {"size": recipe.size, "layout": "NCHW", "channels": "RGB", "mean": [MEAN] * 3, "std": [STD] * 3},
        "alignment": str(recipe.alignment),
        **box,
        "curve": json.loads(curve.to_json(recipe.space)),
        "source": f"facegrid train, {json.dumps(recipe.to_dict())}",
    }


def _source(recipe: Recipe) -> str:
    return f"people held out by facegrid train ({recipe.backbone}, {recipe.epochs} epochs, seed {recipe.seed})"


def _served(manifest: Path, faces: FaceSet) -> Vectors:
    """Unit rows of the faces by the file that the manifest means, opened and fed as a gateway does it."""
    read = read_manifest(manifest)
    assert isinstance(read, EncoderManifest)  # noqa: S101  # it was written as one
    model = EmbeddingModel(read)
    parts = [model.embed(faces.pixels(slice(at, at + AT_ONCE))) for at in range(0, len(faces.people), AT_ONCE)]
    return unit_rows(np.concatenate(parts), read.dimension, field="faces")
