"""Which photos of a face are worth sending, and how they are cut out of the frame. Pure: pixels in, bytes out."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from gateway.encoder import Box
from gateway.encoder.decode import Pixels

COMPARED_SIDE = 150
"""what the embedding network looks at: detail beyond it does not count, and a face smaller than it looks soft"""
MARGIN = 0.75
"""of the face's size on each side: the gateway's detector then finds the face again, see the tests"""
LARGEST_FACE = 400
"""pixels; a larger face is reduced to it, which still is more than the network looks at"""
QUALITY = 92
GREY = 128


def sharpness(pixels: Pixels, box: Box) -> float:
    """Variance of the Laplacian of the face, brought to one size so that near and far faces compare."""
    face = Image.fromarray(pixels).crop(corners(box)).convert("L")
    grey = np.asarray(face.resize((COMPARED_SIDE, COMPARED_SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0))
    return float(laplacian(grey.astype(np.float32)).var())


def laplacian(grey: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(h - 2, w - 2) from (h, w): the four neighbours of each pixel less four times itself."""
    middle = grey[1:-1, 1:-1]
    return grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * middle


def crop(pixels: Pixels, box: Box, others: Sequence[Box] = ()) -> bytes:
    """A JPEG of the face with MARGIN around it, never enlarged.

    `others`: the frame's other faces, greyed out: the photo is of one person, for the gateway and for whoever looks.
    """
    height, width = pixels.shape[:2]
    left, top, right, bottom = with_margin(box, width, height)
    part = pixels[top:bottom, left:right].copy()
    for other in others:
        _grey_out(part, _moved(other, left, top), _moved(box, left, top))
    picture = Image.fromarray(part)
    scale = LARGEST_FACE / max(box.width, box.height)
    if scale < 1:
        size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
        picture = picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    jpeg = io.BytesIO()
    picture.save(jpeg, "JPEG", quality=QUALITY)
    return jpeg.getvalue()


def with_margin(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom (exclusive) of the crop within a frame of that size."""
    across, down = round(MARGIN * box.width), round(MARGIN * box.height)
    left, top, right, bottom = corners(box)
    return max(0, left - across), max(0, top - down), min(width, right + across), min(height, bottom + down)


def corners(box: Box) -> tuple[int, int, int, int]:
    return box.left, box.top, box.left + box.width, box.top + box.height


def _moved(box: Box, left: int, top: int) -> Box:
    return Box(box.left - left, box.top - top, box.width, box.height)


def _grey_out(part: Pixels, other: Box, kept: Box) -> None:
    """In place. What it shares with the face that is kept stays."""
    left, top, right, bottom = (max(0, corner) for corner in corners(kept))
    face = part[top:bottom, left:right].copy()
    left_, top_, right_, bottom_ = (max(0, corner) for corner in corners(other))
    part[top_:bottom_, left_:right_] = GREY
    part[top:bottom, left:right] = face
