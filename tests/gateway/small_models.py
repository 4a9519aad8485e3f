"""Small real ONNX models with their manifests, made for the tests that need some.

The encoders reduce a face to 16 x 16 pixels, subtract their mean and project them at random: one photo scores 1 against
itself and less against another face, which is all that the tests ask of them. A black face has no embedding. The
detectors find the faces that they were made with, in every photo that is not black.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper, numpy_helper

FACENET, ARCFACE = "small-facenet", "small-arcface"
GRID = 16
Array = npt.NDArray[np.float32]
CURVE = {
    "points": [[0.9, 0.1, 0.0], [0.97, 0.0001, 0.0]],
    "same_person": 0.98,
    "pairs": 1000,
    "people": 10,
    "source": "made up for a test",
}


class Face(NamedTuple):
    """In pixels of the detector's picture."""

    box: tuple[float, float, float, float]
    points: Sequence[Sequence[float]]
    score: float


def facenet(folder: Path, **changes: Any) -> Path:
    """160 x 160, the detector's square and a margin, 128 numbers, any number of faces at once."""
    manifest = encoder_manifest(FACENET, 160, 128, "box") | {"margin": 0.2} | changes
    return save(folder, projection(160, manifest["dimension"], seed=1), manifest)


def arcface(folder: Path, **changes: Any) -> Path:
    """112 x 112, aligned by five points, 512 numbers, one face at a time."""
    manifest = encoder_manifest(ARCFACE, 112, 512, "arcface") | changes
    return save(folder, projection(112, manifest["dimension"], seed=2, batch=1), manifest)


def encoder_manifest(space: str, size: int, dimension: int, alignment: str) -> dict[str, Any]:
    return {
        "kind": "encoder",
        "space": space,
        "dimension": dimension,
        "input": input_of(size),
        "alignment": alignment,
        "curve": CURVE,
        "source": "a test",
    }


def input_of(size: int, mean: float = 127.5, std: float = 128.0) -> dict[str, Any]:
    return {"size": size, "layout": "NCHW", "channels": "RGB", "mean": [mean] * 3, "std": [std] * 3}


def projection(size: int, dimension: int, seed: int, batch: int | str = "n") -> bytes:
    cell = size // GRID
    weights = np.random.default_rng(seed).normal(size=(3 * GRID * GRID, dimension)).astype(np.float32)
    nodes = [
        helper.make_node("AveragePool", ["x"], ["small"], kernel_shape=[cell, cell], strides=[cell, cell]),
        helper.make_node("Flatten", ["small"], ["flat"]),
        helper.make_node("ReduceMean", ["flat"], ["mean"], axes=[1]),
        helper.make_node("Sub", ["flat", "mean"], ["around"]),
        helper.make_node("MatMul", ["around", "w"], ["y"]),
    ]
    return model(nodes, {"w": weights}, picture(size, batch), {"y": (batch, dimension)})


def yunet(folder: Path, faces: Sequence[Face], size: int = 320, **changes: Any) -> Path:
    outputs: dict[str, Array] = {}
    for stride in (8, 16, 32):
        cells = (size // stride) ** 2
        arrays = {kind: np.zeros((cells, width)) for kind, width in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10))}
        for face in faces if stride == 16 else ():
            left, top, right, bottom = face.box
            at, corner = cell_of(face, stride, size)
            arrays["cls"][at], arrays["obj"][at] = face.score, face.score
            middle = np.array([left + right, top + bottom]) / 2
            arrays["bbox"][at, :2] = (middle - corner) / stride
            arrays["bbox"][at, 2:] = np.log([(right - left) / stride, (bottom - top) / stride])
            arrays["kps"][at] = ((np.array(face.points) - corner) / stride).ravel()
        outputs |= {f"{kind}_{stride}": array[None].astype(np.float32) for kind, array in arrays.items()}
    scores = [name for name in outputs if name.startswith("cls")]
    manifest = detector_manifest("small-yunet", "yunet", input_of(size, 0, 1)) | changes
    return save(folder, constants(outputs, scores, size, black=0.0), manifest)


def scrfd(folder: Path, faces: Sequence[Face], size: int = 320, **changes: Any) -> Path:
    """Each face is found by both anchors of its cell, by the second one less surely."""
    outputs: dict[str, Array] = {}
    for stride in (32, 8, 16):  # an order of its own, as real exports have
        cells = 2 * (size // stride) ** 2
        scores, boxes, points = (np.zeros((cells, width)) for width in (1, 4, 10))
        for face in faces if stride == 16 else ():
            at, corner = cell_of(face, stride, size)
            for anchor, score in ((0, face.score), (1, face.score - 0.1)):
                scores[2 * at + anchor] = score
                boxes[2 * at + anchor] = np.hstack([corner - face.box[:2], face.box[2:] - corner]) / stride
                points[2 * at + anchor] = ((np.array(face.points) - corner) / stride).ravel()
        named = {f"a{stride}": scores, f"b{stride}": boxes, f"c{stride}": points}
        outputs |= {name: array.astype(np.float32) for name, array in named.items()}
    scores_of = [name for name in outputs if name.startswith("a")]
    manifest = detector_manifest("small-scrfd", "scrfd", input_of(size)) | changes
    return save(folder, constants(outputs, scores_of, size, black=-127.5 / 128), manifest)


def cell_of(face: Face, stride: int, size: int) -> tuple[int, npt.NDArray[np.float64]]:
    """Index and corner of the grid's cell in which the middle of the box lies."""
    column, row = int((face.box[0] + face.box[2]) / 2 // stride), int((face.box[1] + face.box[3]) / 2 // stride)
    return row * (size // stride) + column, np.array([column, row], dtype=np.float64) * stride


def detector_manifest(name: str, style: str, wanted: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "detector", "name": name, "style": style, "input": wanted, "min_score": 0.6, "nms": 0.4}


def constants(outputs: dict[str, Array], scores: Sequence[str], size: int, black: float) -> bytes:
    """The arrays as they are, but the scores are 0 for a picture whose input is `black` everywhere."""
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["brightest"], keepdims=0),
        helper.make_node("Sub", ["brightest", "black"], ["above"]),
        helper.make_node("Mul", ["above", "large"], ["much"]),
        helper.make_node("Clip", ["much", "zero", "one"], ["lit"]),
    ]
    given = {"black": np.float32(black), "large": np.float32(1000), "zero": np.float32(0), "one": np.float32(1)}
    nodes += [helper.make_node("Mul", [f"{name}_is", "lit"], [name]) for name in scores]
    nodes += [helper.make_node("Identity", [f"{name}_is"], [name]) for name in outputs if name not in scores]
    arrays = {f"{name}_is": array for name, array in outputs.items()} | {n: np.asarray(v) for n, v in given.items()}
    return model(nodes, arrays, picture(size, 1), {name: array.shape for name, array in outputs.items()})


def picture(size: int, batch: int | str) -> tuple[int | str, ...]:
    return batch, 3, size, size


def model(
    nodes: Sequence[Any],
    weights: dict[str, Array],
    shape: Sequence[int | str],
    outputs: dict[str, Sequence[int | str]],
    kind: int = TensorProto.FLOAT,
) -> bytes:
    """A serialised model with the input `x`."""
    graph = helper.make_graph(
        list(nodes),
        "small",
        [helper.make_tensor_value_info("x", kind, list(shape))],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(size)) for name, size in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    content: bytes = made.SerializeToString()
    return content


def save(folder: Path, content: bytes, manifest: dict[str, Any]) -> Path:
    """Write the model and its manifest; returns where the manifest is. What `manifest` says of the file goes first."""
    name = str(manifest.get("space", manifest.get("name")))
    (folder / f"{name}.onnx").write_bytes(content)
    said = {"file": f"{name}.onnx", "sha256": hashlib.sha256(content).hexdigest()} | manifest
    path = folder / f"{name}.json"
    path.write_text(json.dumps(said))
    return path
