"""dlib's face network as an ONNX graph: dlib's own file of weights is read, onnxruntime does the arithmetic.

Why: the wheel of dlib has no BLAS and needs 60 ms a face; the same network in onnxruntime needs 3 on the same core. The
graph is made in 0.1 s and loads in 0.05, so nothing is kept on disk. The embeddings agree with dlib's to a cosine of
0.9999999.

The network, as dlib's examples/dnn_face_recognition_ex.cpp defines it (deepest first; every convolution has a bias and
is followed by an `affine`, which is the batch normalisation of training, frozen):

    150 x 150 RGB, (pixel - MEAN) / 256 → 7x7/2, 32 → relu → max 3x3/2
      → residual blocks: 3 of 32, then per stage one of stride 2 and the given number of others (STAGES)
      → mean over all positions → 256 x 128 matrix, without bias
    block:             relu(x + conv3x3(relu(conv3x3(x))))
    block of stride 2: relu(mean2x2/2(x) + conv3x3(relu(conv3x3/2(x)))); dlib adds tensors of different shapes as if the
                       smaller one went on with zeros, so channels, and here and there a row and a column, are padded

dlib pads a convolution by half its size where the stride is 1, and not at all elsewhere. So the first one never sees
padding, and the scaling of the pixels folds into its weights exactly; each `affine` folds into the convolution before
it.

The file is a series of named layers in this same order. A number is one byte, how many bytes follow, and those bytes,
least first. Of each layer only the first array is wanted: a number (its format, 2), four numbers (its shape), then
float32. The rest, state of training and empty gradients, is passed over by looking for the next layer's name.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper, numpy_helper

from gateway.encoder.dlib_models import NETWORK, damaged

SIDE = 150
DIMENSION = 128
MEAN = (122.782, 117.001, 104.298)
FIRST = 32
STAGES = ((64, 3), (128, 2), (256, 2), (256, 0))
"""after the three blocks of 32: channels of a stage, and its blocks besides the one of stride 2"""
OPSET = 17
IR_VERSION = 8
INPUT, OUTPUT = "chips", "embeddings"

Weights = npt.NDArray[np.float32]


class Convolution(NamedTuple):
    weights: Weights
    """(out, in, size, size)"""
    bias: Weights
    """(out,)"""


class WeightsFile:
    """Reads the layers of dlib's file one after the other. Raises EncoderMissing if it is not that file."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def convolution(self, channels_in: int, channels_out: int, size: int) -> Convolution:
        """The next convolution with the affine layer after it folded in: gamma * (w x + b) + beta."""
        count = channels_out * channels_in * size * size
        raw = self._array(b"con_4", count + channels_out)
        gamma, beta = self._array(b"affine_", 2 * channels_out).reshape(2, channels_out)
        weights = raw[:count].reshape(channels_out, channels_in, size, size)
        return Convolution(weights * gamma[:, None, None, None], raw[count:] * gamma + beta)

    def matrix(self, rows: int, columns: int) -> Weights:
        return self._array(b"fc_2", rows * columns).reshape(rows, columns)

    def _array(self, layer: bytes, count: int) -> Weights:
        start = self._content.find(bytes([1, len(layer)]) + layer, self._at)
        if start < 0:
            raise damaged(NETWORK)
        self._at = start + 2 + len(layer)
        if layer == b"fc_2":
            self._numbers(2)  # outputs and inputs, before the array
        shape = self._numbers(5)[1:]
        end = self._at + 4 * count
        if int(np.prod(shape)) != count or end > len(self._content):
            raise damaged(NETWORK)
        values = np.frombuffer(self._content, dtype="<f4", count=count, offset=self._at)
        self._at = end
        return values.astype(np.float32)

    def _numbers(self, count: int) -> list[int]:
        numbers = []
        for _ in range(count):
            size = self._content[self._at] if self._at < len(self._content) else 0
            numbers.append(int.from_bytes(self._content[self._at + 1 : self._at + 1 + size], "little"))
            self._at += 1 + size
        return numbers


class Graph:
    """Nodes and weights of an ONNX graph that is a chain with short cuts; every method returns its result's name."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def add(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        name = output or f"{operator.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def constant(self, values: npt.NDArray[Any]) -> str:
        name = f"weights{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def convolve(self, x: str, layer: Convolution, stride: int) -> str:
        size = layer.weights.shape[-1]
        pads = [0 if stride > 1 else size // 2] * 4
        weights, bias = self.constant(layer.weights), self.constant(layer.bias)
        return self.add("Conv", x, weights, bias, kernel_shape=[size, size], strides=[stride, stride], pads=pads)

    def grow(self, x: str, channels: int, rows: int) -> str:
        """Zeros after the last channel, row and column of the (n, c, h, w) tensor."""
        if channels == rows == 0:
            return x
        return self.add("Pad", x, self.constant(np.array([0, 0, 0, 0, 0, channels, rows, rows], dtype=np.int64)))


def build(content: bytes) -> bytes:
    """The serialised ONNX model of dlib's weights: chips (n, 150, 150, 3) uint8 RGB → embeddings (n, 128) float32.

    The embeddings have dlib's own length. Raises EncoderMissing if `content` is not the file expected.
    """
    file, graph = WeightsFile(content), Graph()
    pixels = graph.add("Transpose", graph.add("Cast", INPUT, to=TensorProto.FLOAT), perm=[0, 3, 1, 2])
    x = graph.add("Relu", graph.convolve(pixels, _of_pixels(file.convolution(3, FIRST, 7)), 2))
    x = graph.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2])
    for _ in range(3):
        x = _block(graph, file, x, FIRST)
    channels, side = FIRST, _side(_side(SIDE, 7), 3)
    for wider, blocks in STAGES:
        x, side = _halved(graph, file, x, channels, wider, side)
        channels = wider
        for _ in range(blocks):
            x = _block(graph, file, x, channels)
    mean = graph.add("Flatten", graph.add("GlobalAveragePool", x))
    graph.add("MatMul", mean, graph.constant(file.matrix(channels, DIMENSION)), output=OUTPUT)
    return _model(graph)


def _of_pixels(layer: Convolution) -> Convolution:
    """The first convolution, of raw pixels: the scaling before it becomes part of its weights."""
    weights = layer.weights / np.float32(256)
    shift = np.einsum("oihw,i->o", weights.astype(np.float64), np.array(MEAN))
    return Convolution(weights, (layer.bias - shift).astype(np.float32))


def _block(graph: Graph, file: WeightsFile, x: str, channels: int) -> str:
    inner = graph.add("Relu", graph.convolve(x, file.convolution(channels, channels, 3), 1))
    return graph.add("Relu", graph.add("Add", graph.convolve(inner, file.convolution(channels, channels, 3), 1), x))


def _halved(graph: Graph, file: WeightsFile, x: str, channels: int, wider: int, side: int) -> tuple[str, int]:
    inner = graph.add("Relu", graph.convolve(x, file.convolution(channels, wider, 3), 2))
    inner = graph.convolve(inner, file.convolution(wider, wider, 3), 1)
    mean = graph.add("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
    of_inner, of_mean = _side(side, 3), _side(side, 2)
    larger = max(of_inner, of_mean)
    mean = graph.grow(mean, wider - channels, larger - of_mean)
    return graph.add("Relu", graph.add("Add", graph.grow(inner, 0, larger - of_inner), mean)), larger


def _side(side: int, size: int) -> int:
    """Of what a window of `size` makes of `side` in steps of two, without padding."""
    return (side - size) // 2 + 1


def _model(graph: Graph) -> bytes:
    chips = helper.make_tensor_value_info(INPUT, TensorProto.UINT8, ["n", SIDE, SIDE, 3])
    embeddings = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["n", DIMENSION])
    whole = helper.make_graph(graph.nodes, "dlib-resnet-v1", [chips], [embeddings], graph.weights)
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    content: bytes = model.SerializeToString()
    return content
