"""Bytes of an upload → upright RGB pixels, or an error that says what is wrong with the upload.

Pure: no files, no global settings of Pillow. The limits are read from the header, before any pixel is decoded, so a
small file that would unpack to gigabytes costs nothing. Only the four formats below are tried; Pillow knows dozens
more, each a parser that nobody here needs. Decoding is slow and parses hostile input: call it in a worker process.

JPEG draft mode (decoding at half size) is not used: within the default limits it would halve the smallest faces
that detection finds in a huge photo (`dlib_detector`) below the 150 pixels that the embedding network wants. It would
save 60 of 430 ms for 12 megapixels, and 2 of 170 for 1280 x 960.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from common.errors import ImageTooLarge, InvalidImage, NotAnImage, TruncatedImage
from common.settings import EncoderSettings

Pixels: TypeAlias = npt.NDArray[np.uint8]
"""RGB, (height, width, 3)"""

FORMATS = ("JPEG", "PNG", "BMP", "WEBP")
JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
SIGNATURES = (JPEG, PNG, b"RIFF")

ORIENTATION_TAG = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation → what turns the photo upright; 1, unknown and unreadable values leave it alone."""

PARSE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    EOFError,
    AssertionError,
    struct.error,
    zlib.error,
)
"""What Pillow's parsers raise on damaged files; it has no common base class for them."""


def decode(photo: bytes, settings: EncoderSettings) -> Pixels:
    """The photo as upright 8-bit RGB; of an animation the first frame; transparent parts become white.

    Raises NotAnImage, TruncatedImage, ImageTooLarge (bytes or pixels), or InvalidImage for other damage.
    """
    check_bytes(photo, settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of large photos and odd EXIF blocks; both are dealt with here
        image = _open(photo, settings)
        _check_pixels(image.width * image.height, settings)
        try:
            image.load()
            image = _rgb(_upright(image))  # the same name: what is not needed any more is freed before the next copy
            return np.asarray(image)
        except PARSE_ERRORS:  # of the conversion too: only then a palette that is missing, or too long, is looked at
            raise _damage(photo) from None


def check_bytes(photo: bytes, settings: EncoderSettings) -> None:
    """Raise NotAnImage for an empty upload and ImageTooLarge for one of more than `photo_bytes` bytes."""
    if not photo:
        raise NotAnImage("The upload is empty.", field="image")
    if len(photo) > settings.photo_bytes:
        raise ImageTooLarge(
            f"The photo has {len(photo):,} bytes; at most {settings.photo_bytes:,} are allowed.",
            field="image",
            limit=settings.photo_bytes,
        )


def _check_pixels(pixels: int, settings: EncoderSettings) -> None:
    if pixels > settings.photo_pixels:
        raise ImageTooLarge(
            f"The photo has {pixels:,} pixels; at most {settings.photo_pixels:,} are allowed.",
            field="image",
            limit=settings.photo_pixels,
        )


def _open(photo: bytes, settings: EncoderSettings) -> Image.Image:
    """Read the header; Pillow's own guard against bombs, which raises from 179 megapixels on, is translated."""
    try:
        return Image.open(io.BytesIO(photo), formats=FORMATS)
    except Image.DecompressionBombError:
        raise ImageTooLarge(
            f"The photo has far more than the {settings.photo_pixels:,} pixels allowed.",
            field="image",
            limit=settings.photo_pixels,
        ) from None
    except PARSE_ERRORS:
        raise _damage(photo) from None


def _damage(photo: bytes) -> InvalidImage:
    """Why Pillow refused the upload, from the upload itself: Pillow's exceptions tell it only in changing words."""
    if _is_cut_off(photo):
        return TruncatedImage("The photo ends before its last pixel.", field="image")
    if photo.startswith(SIGNATURES):
        return InvalidImage("The photo is damaged.", field="image")
    return NotAnImage(f"The upload is not one of {', '.join(FORMATS)}.", field="image", limit=list(FORMATS))


def _is_cut_off(photo: bytes) -> bool:
    """JPEG and PNG have an end mark; WebP and BMP say in their first bytes how long they are."""
    if photo.startswith(JPEG):
        return not photo.rstrip(b"\0").endswith(b"\xff\xd9")
    if photo.startswith(PNG):
        return b"IEND" not in photo[-16:]
    if photo[:4] == b"RIFF" and photo[8:12] == b"WEBP":
        return len(photo) < 8 + int.from_bytes(photo[4:8], "little")
    return photo[:2] == b"BM" and photo[6:10] == bytes(4) and len(photo) < int.from_bytes(photo[2:6], "little")


def _upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation. `ImageOps.exif_transpose` would also rewrite the EXIF block, and fail on odd ones."""
    try:
        turn = UPRIGHT.get(image.getexif().get(ORIENTATION_TAG, 1))
    except PARSE_ERRORS:
        return image
    return image if turn is None else image.transpose(turn)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey: Pillow's own conversion would clip it to white
        high = np.clip(np.asarray(image).astype(np.int32) >> 8, 0, 255)
        image = Image.fromarray(high.astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        page = Image.new("RGB", image.size, "white")
        page.paste(image, mask=image)
        return page
    return image if image.mode == "RGB" else image.convert("RGB")  # convert would copy
