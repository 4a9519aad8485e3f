"""What an encoder is made of: a detector that says where the faces are, and an embedder for each embedding space.

`FaceEncoder` (face_encoder.py) puts them together. A step knows nothing of the others: any detector serves any
embedder, because what passes between them, `Located`, says a face the same way for all of them. Steps are loaded once
in an encoder process and used by one thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from common.types import Vectors
from gateway.encoder.decode import Pixels

Points5: TypeAlias = npt.NDArray[np.float64]
"""(5, 2): x, y in pixels of the photo, in dlib's order, right and left as seen in the photo: the right eye's outer and
inner corner, the left eye's outer and inner corner, the base of the nose. A detector that knows only the middle of an
eye gives it twice."""

Area: TypeAlias = tuple[float, float, float, float]
"""left, top, right, bottom in pixels of the photo, inclusive corners"""


@dataclass(frozen=True, slots=True)
class Located:
    """One face in a photo."""

    area: Area
    """a square from brow to chin, as dlib's detector draws it; may reach beyond the edge of the photo"""
    score: float
    """the detector's own; above 0, higher is surer"""
    landmarks: Points5


class Detector(Protocol):
    def locate(self, pixels: Pixels) -> list[Located]:
        """The faces of an upright RGB photo, in no particular order."""


class Embedder(Protocol):
    dimension: int

    def embed(self, pixels: Pixels, faces: Sequence[Located]) -> Vectors:
        """(n, dimension) unit rows of n faces of one photo, in one batch; n may be 0."""
