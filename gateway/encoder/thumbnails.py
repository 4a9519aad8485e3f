"""A kept thumbnail as a photo of its own, for encoding it again in another space without looking for the face.

A thumbnail is dlib's aligned face (`dlib_chips`), so where the landmarks are is known: on dlib's mean face, up to what
the alignment leaves. The area is where dlib's detector saw the face, measured on 134 photos of LFW: in the middle, and
1.35 times the mean face, give or take a tenth, as coarse as the detector's own sizes.

It shows more around the face than dlib's network wants, because other alignments do: ArcFace's reaches a third of
the face higher. What is missing all the same is made up by going on with the outermost pixels, which disturbs a network
less than a black edge would.
"""

from __future__ import annotations

import numpy as np

from common.errors import InvalidImage
from gateway.encoder.decode import Pixels
from gateway.encoder.steps import Located, Points5

MEAN_FACE: Points5 = np.array(
    [
        [0.8595674595992, 0.2134981538014],
        [0.6460604764104, 0.2289674387677],
        [0.1205750620789, 0.2137274526848],
        [0.3340850613712, 0.2290642403242],
        [0.4901123135679, 0.6277975316475],
    ]
)
"""dlib's, in parts of the face: `get_face_chip_details` in its interpolation.h"""
PADDING = 0.6
"""of a thumbnail, in parts of the face"""
EARLIER_SIDE, EARLIER_PADDING = 112, 0.25
"""pixels and parts of the face: of those that were kept before thumbnails showed more"""
MIDDLE, SIDE = 0.515, 1.35
"""of the detector's square, in parts of the face"""
CERTAIN = 1.0
"""the score of a face that was found long ago"""


def as_photo(thumbnail: Pixels) -> tuple[Pixels, Located]:
    """The thumbnail with its edges continued, and its one face. Raises InvalidImage if it is no square."""
    height, side = thumbnail.shape[:2]
    if height != side:
        raise InvalidImage(f"A thumbnail is a square, not {side} x {height} pixels.", field="thumbnail")
    edge = side // 2
    padding = EARLIER_PADDING if side == EARLIER_SIDE else PADDING
    face = side / (1 + 2 * padding)
    first, last = edge + (padding + MIDDLE - SIDE / 2) * face, edge + (padding + MIDDLE + SIDE / 2) * face - 1
    landmarks = edge + (MEAN_FACE + padding) * face
    photo = np.pad(thumbnail, ((edge, edge), (edge, edge), (0, 0)), mode="edge")
    return photo, Located((first, first, last, last), CERTAIN, landmarks)
