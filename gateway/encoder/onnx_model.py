"""A model of a manifest, opened in onnxruntime: pictures in, arrays out. One thread, on the CPU: the cores have a
worker each.

All that can be wrong with a model is found when it is opened, by running pictures of zeros through it. Weights in files
of their own are refused, because the manifest's SHA-256 would not cover them.
"""

from __future__ import annotations

import os
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as raised

from common.errors import BrokenModel
from gateway.encoder.decode import Pixels
from gateway.encoder.manifest import EncoderManifest, Manifest, ModelInput

Floats: TypeAlias = npt.NDArray[np.float32]
REFUSALS = (
    raised.EPFail,
    raised.Fail,
    raised.InvalidArgument,
    raised.InvalidGraph,
    raised.InvalidProtobuf,
    raised.NoModel,
    raised.NotImplemented,
    raised.RuntimeException,
    RuntimeError,
    ValueError,
)
"""what onnxruntime raises; its own have no common base class"""
MOST_AT_ONCE = 16
"""pictures in a batch: larger ones gain nothing on one core, and need memory"""
NO_FOLDER = os.path.join(os.devnull, "none")  # noqa: PTH118  # a path that can hold nothing
QUIET = 3


class OnnxModel:
    """Raises WrongHash or InvalidManifest for the file, BrokenModel if it is no model, or not one as the manifest
    says."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._session = self._open(manifest.read_model())
        self._input, self.at_once = self._checked_input()
        self.outputs: list[str] = [output.name for output in self._session.get_outputs()]

    def run(self, pictures: Pixels) -> list[Floats]:
        """Each output for (n, size, size, 3) uint8 RGB pictures, n > 0. Raises BrokenModel if the model fails.

        Outputs are float32; batches are joined along the first axis.
        """
        batches = (pictures[at : at + self.at_once] for at in range(0, len(pictures), self.at_once))
        parts = [self._run(as_input(batch, self._manifest.input)) for batch in batches]
        return parts[0] if len(parts) == 1 else [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]

    def run_black(self, count: int) -> dict[str, Floats]:
        """The outputs by name for so many black pictures. Raises BrokenModel if they are no finite float32."""
        side = self._manifest.input.size
        outputs = self._run(as_input(np.zeros((count, side, side, 3), dtype=np.uint8), self._manifest.input))
        for name, output in zip(self.outputs, outputs, strict=True):
            if not isinstance(output, np.ndarray) or output.dtype != np.float32:
                raise self.broken(f"its output {name} is no float32 tensor")
            if not np.isfinite(output).all():
                raise self.broken(f"its output {name} holds NaN or infinity for a black picture")
        return dict(zip(self.outputs, outputs, strict=True))

    def broken(self, why: str) -> BrokenModel:
        return BrokenModel(f"{self._manifest.file}: {why}.", field="file")

    def _open(self, content: bytes) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = QUIET
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", NO_FOLDER)
        try:
            return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except REFUSALS as error:
            raise self.broken(f"onnxruntime cannot load it ({_first_line(error)})") from None

    def _checked_input(self) -> tuple[str, int]:
        """Name of the only input, and how many pictures it is given at once."""
        inputs: list[Any] = self._session.get_inputs()
        if len(inputs) != 1:
            raise self.broken(f"it has {len(inputs)} inputs, not 1")
        [only] = inputs
        if only.type != "tensor(float)":
            raise self.broken(f"its input is {only.type}, not tensor(float)")
        wanted = self._manifest.input
        size, channels_first = wanted.size, wanted.layout == "NCHW"
        picture = [3, size, size] if channels_first else [size, size, 3]
        found = list(only.shape)
        if len(found) != 4 or not all(_fits(*pair) for pair in zip(found[1:], picture, strict=True)):
            raise self.broken(f"its input has the shape {found}; the manifest says {['n', *picture]} ({wanted.layout})")
        if isinstance(found[0], int) and found[0] != 1:
            raise self.broken(f"it takes exactly {found[0]} pictures at once; it must take 1 or any number")
        return only.name, 1 if found[0] == 1 else MOST_AT_ONCE

    def _run(self, batch: Floats) -> list[Floats]:
        try:
            outputs: list[Floats] = self._session.run(None, {self._input: batch})
        except REFUSALS as error:
            raise self.broken(f"it fails on {len(batch)} pictures ({_first_line(error)})") from None
        return outputs


class EmbeddingModel:
    """One of an encoder's manifest. Raises what OnnxModel raises, and BrokenModel for another dimension."""

    def __init__(self, manifest: EncoderManifest) -> None:
        self._model = OnnxModel(manifest)
        count = min(2, self._model.at_once)  # two, where it can: whether it really takes any number
        shapes = [output.shape for output in self._model.run_black(count).values()]
        fitting = [at for at, shape in enumerate(shapes) if shape == (count, manifest.dimension)]
        if len(fitting) != 1:
            found = ", ".join(str(list(shape)) for shape in shapes)
            raise self._model.broken(
                f"its outputs for {count} pictures have the shapes {found}; the manifest says [n, {manifest.dimension}]"
            )
        self._at = fitting[0]

    def embed(self, pictures: Pixels) -> Floats:
        """(n, dimension) as the model gives them, of any length."""
        return self._model.run(pictures)[self._at]


def as_input(pictures: Pixels, wanted: ModelInput) -> Floats:
    """(n, size, size, 3) uint8 RGB as a model takes it: (n, 3, size, size) or (n, size, size, 3) float32."""
    batch = pictures[..., ::-1] if wanted.channels == "BGR" else pictures
    mean, std = np.array(wanted.mean, dtype=np.float32), np.array(wanted.std, dtype=np.float32)
    scaled = (batch.astype(np.float32) - mean) / std
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2) if wanted.layout == "NCHW" else scaled)


def _fits(found: int | str | None, wanted: int) -> bool:
    """A dimension that is a name or None takes any number."""
    return not isinstance(found, int) or found == wanted


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300].rstrip(". ")
