"""Detector of a manifest: a photo shrunk into the model's square, its outputs decoded, its points made `Located`.

Both styles look at a grid of cells for each stride of 8, 16 and 32 pixels, with one output of each kind a stride:

scrfd    score (n, 1), box (n, 4), points (n, 10); n cells x 2 anchors, row by row. Box: distances from the cell's
         corner, (column, row) * stride, to left, top, right and bottom; points: x, y from the same corner; in strides.
yunet    cls and obj (n, 1), bbox (n, 4), kps (n, 10), outputs named `<kind>_<stride>`. Score: sqrt(cls * obj). Box:
         middle as an offset from the cell's corner, and the logarithms of width and height; in strides.

Sources: insightface's scrfd.py; OpenCV's FaceDetectorYN. Points are: eye at the left of the photo, eye at its right,
tip of the nose, corners of the mouth at the left and at the right. The boxes serve to drop doubles and no more: every
network draws them in its own way. What is handed on is dlib's square, derived from the points (constants below), and
dlib's five landmarks found in it, so that alignment and the figures of quality mean the same with every detector.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from gateway.encoder.decode import Pixels
from gateway.encoder.dlib_models import LANDMARKS, load_dlib, model_file
from gateway.encoder.manifest import DetectorManifest
from gateway.encoder.onnx_model import Floats, OnnxModel
from gateway.encoder.steps import Area, Located

STRIDES = (8, 16, 32)
SCRFD_ANCHORS = 2
MOST_FACES = 1000
"""considered in one photo, before doubles are dropped"""
LEAST_SIDE, LARGEST_SIDE = 8, 2
"""of a face: in pixels, the finest stride; and in parts of the photo's longer side"""
EYES, DOWN, MIDDLE = 1.32, 1.10, 0.47
"""dlib's square from five points: side = EYES * distance of the eyes + DOWN * that of the middles of eyes and mouth;
its own middle is MIDDLE of the way from eyes to mouth. Least squares over 134 photos of LFW, against dlib's detector:
the side within 10%, which is half of dlib's step from size to size; the middle within 3% of it across, 5% down."""


class Found(NamedTuple):
    """Of n faces, in pixels of the model's picture."""

    scores: npt.NDArray[np.float64]
    """(n,)"""
    boxes: npt.NDArray[np.float64]
    """(n, 4): left, top, right, bottom"""
    points: npt.NDArray[np.float64]
    """(n, 5, 2)"""


class OnnxDetector:
    """Raises what OnnxModel raises, BrokenModel for outputs of another style, EncoderMissing without dlib."""

    def __init__(self, manifest: DetectorManifest) -> None:
        self._manifest = manifest
        self._dlib: Any = load_dlib()
        self._landmarks = self._dlib.shape_predictor(str(model_file(LANDMARKS)))
        self._model = OnnxModel(manifest)
        self._decode = STYLES[manifest.style](self._model, manifest.input.size)

    def locate(self, pixels: Pixels) -> list[Located]:
        """Faces that score `min_score` or more, the surest first."""
        picture, scale = letterbox(pixels, self._manifest.input.size)
        found = self._decode(self._model.run(picture[None]))
        kept = without_doubles(found, self._manifest.min_score, self._manifest.nms)
        areas = [area_of(found.points[at] / scale) for at in kept]
        scored = zip(areas, found.scores[kept].tolist(), strict=True)
        return [self._located(pixels, area, score) for area, score in scored if is_in(area, pixels)]

    def _located(self, pixels: Pixels, area: Area, score: float) -> Located:
        shape = self._landmarks(pixels, self._dlib.rectangle(*(round(side) for side in area)))
        landmarks = np.array([(point.x, point.y) for point in shape.parts()], dtype=np.float64)
        return Located(area, score, landmarks)


def letterbox(pixels: Pixels, size: int) -> tuple[Pixels, float]:
    """The photo in the upper left of a black (size, size, 3) square, as large as it fits, and how it was scaled."""
    height, width = pixels.shape[:2]
    scale = size / max(height, width)
    inner = max(1, round(width * scale)), max(1, round(height * scale))
    picture = np.zeros((size, size, 3), dtype=np.uint8)
    resized = Image.fromarray(pixels).resize(inner, Image.Resampling.BILINEAR, reducing_gap=2.0)
    picture[: inner[1], : inner[0]] = np.asarray(resized)
    return picture, scale


def area_of(points: npt.NDArray[np.float64]) -> Area:
    """The square that dlib's detector would draw around a face with these (5, 2) points."""
    eyes, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
    side = EYES * float(np.hypot(*(points[1] - points[0]))) + DOWN * float(np.hypot(*(mouth - eyes)))
    x, y = (eyes + MIDDLE * (mouth - eyes)).tolist()
    half = (side - 1) / 2
    return x - half, y - half, x + half, y + half


def is_in(area: Area, pixels: Pixels) -> bool:
    """Whether a face can be there: a square of some size whose middle lies in the photo. A network may say anything,
    and dlib's numbers are whole ones of 64 bits."""
    left, top, right, bottom = area
    height: int = pixels.shape[0]
    width: int = pixels.shape[1]
    return (
        LEAST_SIDE <= right - left + 1 <= LARGEST_SIDE * max(height, width)
        and 0 <= (left + right) / 2 <= width - 1
        and 0 <= (top + bottom) / 2 <= height - 1
    )


def without_doubles(found: Found, min_score: float, nms: float) -> list[int]:
    """Which to keep, the surest first: greedy non-maximum suppression by intersection over union."""
    order = [at for at in np.argsort(-found.scores, kind="stable")[:MOST_FACES] if found.scores[at] >= min_score]
    kept: list[int] = []
    for at in order:
        if not kept or overlaps(found.boxes[at], found.boxes[kept]).max() <= nms:
            kept.append(int(at))
    return kept


def overlaps(box: npt.NDArray[np.float64], others: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Intersection over union of (4,) with each of (n, 4); 0 where both are empty."""
    corner, far = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    common = np.clip(far - corner, 0, None).prod(axis=1)
    total = np.clip(box[2:] - box[:2], 0, None).prod() + np.clip(others[:, 2:] - others[:, :2], 0, None).prod(axis=1)
    return np.asarray(common / np.maximum(total - common, 1e-9))


def corners(size: int, stride: int, anchors: int) -> npt.NDArray[np.float64]:
    """(n, 2): x, y of the corner of each cell of the grid, row by row, each as often as it has anchors."""
    rows, columns = np.mgrid[: -(-size // stride), : -(-size // stride)]
    return np.repeat(np.stack([columns, rows], axis=-1).reshape(-1, 2) * stride, anchors, axis=0).astype(np.float64)


def scrfd(model: OnnxModel, size: int) -> Callable[[Sequence[Floats]], Found]:
    """Outputs are told apart by their shapes, because their names and their order differ from export to export."""
    grids = [corners(size, stride, SCRFD_ANCHORS) for stride in STRIDES]
    shapes = [_flat(output).shape for output in model.run_black(1).values()]
    places = [[_place(model, shapes, (len(grid), width)) for width in (1, 4, 10)] for grid in grids]

    def decode(outputs: Sequence[Floats]) -> Found:
        parts = []
        for grid, stride, where in zip(grids, STRIDES, places, strict=True):
            scores, reach, offsets = (_flat(outputs[at]) for at in where)
            boxes = np.hstack([grid - reach[:, :2] * stride, grid + reach[:, 2:] * stride])
            parts.append(Found(scores[:, 0], boxes, grid[:, None] + offsets.reshape(-1, 5, 2) * stride))
        return _joined(parts)

    return decode


def yunet(model: OnnxModel, size: int) -> Callable[[Sequence[Floats]], Found]:
    grids = [corners(size, stride, 1) for stride in STRIDES]
    shapes = {name: _flat(output).shape for name, output in model.run_black(1).items()}
    for grid, stride in zip(grids, STRIDES, strict=True):
        for kind, width in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
            name = f"{kind}_{stride}"
            if shapes.get(name) != (len(grid), width):
                raise model.broken(f"a yunet has an output {name} of {len(grid)} x {width}; this is {shapes.get(name)}")

    def decode(outputs: Sequence[Floats]) -> Found:
        named = {name: _flat(output) for name, output in zip(model.outputs, outputs, strict=True)}
        return _joined([_of_yunet(named, grid, stride) for grid, stride in zip(grids, STRIDES, strict=True)])

    return decode


def _of_yunet(named: Mapping[str, npt.NDArray[np.float64]], grid: npt.NDArray[np.float64], stride: int) -> Found:
    of_class, of_object = (np.clip(named[f"{kind}_{stride}"][:, 0], 0, 1) for kind in ("cls", "obj"))
    box = named[f"bbox_{stride}"]
    middle, half = grid + box[:, :2] * stride, np.exp(np.minimum(box[:, 2:], 20)) * stride / 2
    points = grid[:, None] + named[f"kps_{stride}"].reshape(-1, 5, 2) * stride
    return Found(np.sqrt(of_class * of_object), np.hstack([middle - half, middle + half]), points)


def _flat(output: Floats) -> npt.NDArray[np.float64]:
    """(n, width) of an output with or without a first axis for the one picture."""
    return output.reshape(-1, output.shape[-1] if output.ndim else 1).astype(np.float64)


def _place(model: OnnxModel, shapes: Sequence[tuple[int, ...]], wanted: tuple[int, int]) -> int:
    places = [at for at, shape in enumerate(shapes) if shape == wanted]
    if len(places) != 1:
        raise model.broken(
            f"a scrfd has one output of {wanted[0]} x {wanted[1]}; this has {len(places)} among {shapes}"
        )
    return places[0]


def _joined(parts: Sequence[Found]) -> Found:
    """Found by all strides, scores up to 1; a model that gives NaN for a face has not found it."""
    scores, boxes, points = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    sane = np.isfinite(scores) & np.isfinite(boxes).all(axis=1) & np.isfinite(points).all(axis=(1, 2))
    return Found(np.where(sane, np.minimum(scores, 1.0), -1.0), np.where(sane[:, None], boxes, 0.0), points)


STYLES = {"scrfd": scrfd, "yunet": yunet}
