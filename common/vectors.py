"""Embeddings as arrays: checked where they enter, of unit length ever after.

score = cosine = inner product of unit vectors; distance = sqrt(2 - 2 * score), the Euclidean distance between them.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from common.errors import NotFinite, WrongDimension, ZeroVector
from common.types import Vectors

MIN_NORM = 1e-6
UNIT_SLACK = 1e-6
"""what float32 may leave of a length of 1"""


def unit_rows(vectors: npt.ArrayLike, dimension: int, field: str = "embeddings") -> Vectors:
    """Scale each row of (n, d) numbers to unit length, as float32. One that has it already stays the same to the bit:
    what was read from here can be sent back, and is known again.

    Raises WrongDimension, NotFinite or ZeroVector naming `field` and the row; a row too long for float32 is NotFinite.
    """
    wide = np.asarray(vectors, dtype=np.float64)
    if wide.ndim != 2 or wide.shape[1] != dimension:
        length = wide.shape[-1] if wide.ndim else 0
        raise WrongDimension(
            f"{field}: each embedding needs {dimension} numbers, not {length}.", field=field, limit=dimension
        )
    with np.errstate(over="ignore"):
        finite = np.isfinite(wide.astype(np.float32)).all(axis=1)
    if not finite.all():
        raise NotFinite(f"{field}[{int(np.argmin(finite))}] holds NaN or infinity.", field=field)
    norms = _lengths(wide)
    if (norms < MIN_NORM).any():
        raise ZeroVector(f"{field}[{int(np.argmin(norms))}] is the zero vector.", field=field, limit=MIN_NORM)
    return _scaled(wide, norms)


def _lengths(wide: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Of each row of (n, d), as (n, 1)."""
    lengths: npt.NDArray[np.float64] = np.sqrt((wide * wide).sum(axis=1, keepdims=True))
    return lengths


def _scaled(wide: npt.NDArray[np.float64], norms: npt.NDArray[np.float64]) -> Vectors:
    norms[np.abs(norms - 1) <= UNIT_SLACK] = 1
    return (wide / norms).astype(np.float32)


def unit_rows_from_bytes(raw: bytes, dimension: int, field: str = "body") -> Vectors:
    """Read little-endian float32 bytes as (n, dimension) unit rows; raises like `unit_rows`."""
    if not raw or len(raw) % (4 * dimension):
        raise WrongDimension(
            f"{field}: {len(raw)} bytes are no whole number of {dimension} float32 ({4 * dimension} bytes).",
            field=field,
            limit=dimension,
        )
    rows = np.frombuffer(raw, dtype="<f4").reshape(-1, dimension)
    wide = rows.astype(np.float64)
    if len(rows) == 1:
        return _unit_row(rows, wide, field)
    norms = _lengths(wide)
    if not ((norms >= MIN_NORM) & (norms < math.inf)).all():  # false for NaN too
        return unit_rows(rows, dimension, field)  # which says what is wrong
    return _scaled(wide, norms)


def _unit_row(row: Vectors, wide: npt.NDArray[np.float64], field: str) -> Vectors:
    """One by itself, (1, d), is what hot requests bring: the same to the bit, with a third of the calls of numpy."""
    squares = np.add.reduce(wide * wide, axis=1)  # as `_lengths` adds them up: another order would round otherwise
    length = math.sqrt(squares[0])
    if not MIN_NORM <= length < math.inf:  # true for NaN too
        return unit_rows(row, row.shape[1], field)
    if abs(length - 1) <= UNIT_SLACK:
        return row.copy()
    unit: Vectors = (wide / length).astype(np.float32)
    return unit


def mean_row(templates: Vectors) -> Vectors:
    """The gallery row of a face: the unit-length mean of its (n, d) templates, as (d,).

    Raises ZeroVector where the templates cancel out (opposite vectors), for which no mean direction exists.
    """
    if len(templates) == 1:
        only: Vectors = templates[0]
        return only
    mean = templates.astype(np.float64).mean(axis=0, keepdims=True)
    norms = _lengths(mean)
    if norms[0, 0] < MIN_NORM:
        raise ZeroVector("The mean of the embeddings is the zero vector.", field="embeddings", limit=MIN_NORM)
    row: Vectors = _scaled(mean, norms)[0]
    return row


def distance(score: float) -> float:
    """Euclidean distance of two unit vectors whose cosine is `score`."""
    return math.sqrt(2.0 - 2.0 * score) if score < 1.0 else 0.0  # rounding may lift a score a little over 1
