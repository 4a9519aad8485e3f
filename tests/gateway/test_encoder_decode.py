from __future__ import annotations

import io
import random
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps

from common.errors import ImageTooLarge, InvalidImage, NotAnImage, TruncatedImage
from common.settings import EncoderSettings
from gateway.encoder.decode import decode
from tests.gateway.encoder_photos import ORIENTATIONS, portrait, saved, turned

SETTINGS = EncoderSettings()
FORMATS: list[tuple[str, dict[str, Any]]] = [
    ("JPEG", {}),
    ("JPEG", {"progressive": True}),
    ("PNG", {}),
    ("BMP", {}),
    ("WEBP", {}),
    ("WEBP", {"lossless": True}),
]


@pytest.fixture(autouse=True)
def _strict_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker never imports face_recognition, which switches this on; another test in this process may have."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", False)


def chunk(name: bytes, data: bytes) -> bytes:
    """Of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds no pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def png_of_places_in_a_palette(*palette: bytes) -> bytes:
    """One of 9 x 9 pixels, whose palette is those chunks."""
    header, rows = struct.pack(">IIBBBBB", 9, 9, 1, 3, 0, 0, 0), zlib.compress(b"\0\xaa\xaa" * 9)
    chunks = chunk(b"IHDR", header) + b"".join(palette) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.mark.parametrize(("kind", "options"), FORMATS)
def test_every_format_decodes_to_the_same_picture(kind: str, options: dict[str, Any]) -> None:
    pixels = decode(saved(portrait(), kind, **options), SETTINGS)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (300, 300, 3)
    assert np.abs(pixels.astype(int) - np.asarray(portrait())).mean() < 5


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_exif_orientation_is_applied(kind: str, orientation: int) -> None:
    upright = portrait().crop((20, 0, 220, 300))
    photo = turned(upright, orientation, kind)
    pixels = decode(photo, SETTINGS)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(photo))).convert("RGB"))
    assert np.array_equal(pixels, expected)
    assert pixels.shape == (300, 200, 3)
    assert np.abs(pixels.astype(int) - np.asarray(upright)).mean() < 6


def test_unknown_orientation_and_damaged_exif_leave_the_photo_as_it_is() -> None:
    exif = Image.Exif()
    exif[0x0112] = 77
    for odd in (exif.tobytes(), b"Exif\x00\x00MM\x00*\xff\xff\xff\xff", b"Exif\x00\x00nonsense"):
        assert decode(saved(portrait(), "JPEG", exif=odd), SETTINGS).shape == (300, 300, 3)


def test_grey_palette_and_cmyk_become_rgb() -> None:
    grey = decode(saved(portrait().convert("L"), "PNG"), SETTINGS)
    assert np.array_equal(grey[:, :, 0], np.asarray(portrait().convert("L")))
    palette = decode(saved(portrait().convert("P", palette=Image.Palette.ADAPTIVE), "PNG"), SETTINGS)
    cmyk = decode(saved(portrait().convert("CMYK"), "JPEG"), SETTINGS)
    for pixels in (palette, cmyk):
        assert np.abs(pixels.astype(int) - np.asarray(portrait())).mean() < 12


def test_sixteen_bit_grey_keeps_its_tones() -> None:
    tones = np.linspace(0, 65535, 256).astype(np.uint16).reshape(1, 256).repeat(8, axis=0)
    pixels = decode(saved(Image.fromarray(tones), "PNG"), SETTINGS)
    assert np.array_equal(pixels[0, :, 0], tones[0] >> 8)


def test_transparent_parts_become_white() -> None:
    image = Image.new("RGBA", (8, 8), (200, 0, 0, 255))
    image.putpixel((3, 3), (0, 200, 0, 0))
    for kind in ("PNG", "WEBP"):
        pixels = decode(saved(image, kind, **({"lossless": True} if kind == "WEBP" else {})), SETTINGS)
        assert pixels[3, 3].tolist() == [255, 255, 255]
        assert pixels[0, 0].tolist() == [200, 0, 0]


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_of_an_animation_the_first_frame_is_taken(kind: str) -> None:
    second = Image.new("RGB", (300, 300), "blue")
    pixels = decode(saved(portrait(), kind, save_all=True, append_images=[second], lossless=True), SETTINGS)
    assert np.array_equal(pixels, np.asarray(portrait()))


@pytest.mark.parametrize(("kind", "options"), FORMATS)
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.98])
def test_a_truncated_photo_is_called_truncated(kind: str, options: dict[str, Any], kept: float) -> None:
    photo = saved(portrait(), kind, **options)
    with pytest.raises(TruncatedImage) as caught:
        decode(photo[: int(len(photo) * kept)], SETTINGS)
    assert caught.value.field == "image"


def test_a_palette_that_is_whole_is_decoded_and_any_other_is_damage() -> None:
    """They are looked at only when the pixels, which are all there, are converted."""
    colours = chunk(b"PLTE", bytes(6))
    assert decode(png_of_places_in_a_palette(colours, chunk(b"tRNS", bytes(2))), SETTINGS).shape == (9, 9, 3)
    for palette in ((), (colours, chunk(b"tRNS", bytes(300)))):
        with pytest.raises(InvalidImage, match="damaged"):
            decode(png_of_places_in_a_palette(*palette), SETTINGS)


@pytest.mark.parametrize(
    "upload", [b"", b"x", b"BMW is a car", b"RIFF", b"%PDF-1.7 ...", b"\x00" * 5000, b"<svg></svg>"]
)
def test_what_is_no_image_is_refused(upload: bytes) -> None:
    with pytest.raises(InvalidImage) as caught:
        decode(upload, SETTINGS)
    assert caught.value.problem()["field"] == "image"
    if not upload.startswith(b"RIFF"):
        assert isinstance(caught.value, NotAnImage)


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "PPM", "ICO", "TGA"])
def test_other_formats_are_not_even_tried(kind: str) -> None:
    with pytest.raises(NotAnImage) as caught:
        decode(saved(portrait(), kind), SETTINGS)
    assert caught.value.limit == ["JPEG", "PNG", "BMP", "WEBP"]


def test_a_photo_of_too_many_bytes_is_refused() -> None:
    settings = EncoderSettings(photo_bytes=1000)
    with pytest.raises(ImageTooLarge) as caught:
        decode(saved(portrait(), "JPEG"), settings)
    assert caught.value.limit == 1000
    assert caught.value.field == "image"


@pytest.mark.parametrize("side", [10_000, 12_000, 30_000, 2**31 - 1])
def test_too_many_pixels_are_refused_from_the_header_alone(side: int) -> None:
    """The file holds no pixels at all: anything that decoded before it checked would call it damaged."""
    with pytest.raises(ImageTooLarge) as caught:
        decode(png_header(side, side), SETTINGS)
    assert caught.value.limit == SETTINGS.photo_pixels


def test_a_hundred_megapixels_in_a_small_file_are_refused() -> None:
    bomb = saved(Image.new("1", (10_000, 10_000)), "PNG")
    assert len(bomb) < 100_000
    with pytest.raises(ImageTooLarge):
        decode(bomb, SETTINGS)


def test_the_pixel_limit_is_inclusive() -> None:
    settings = EncoderSettings(photo_pixels=10_000)
    assert decode(saved(Image.new("RGB", (100, 100)), "PNG"), settings).shape == (100, 100, 3)
    with pytest.raises(ImageTooLarge):
        decode(saved(Image.new("RGB", (101, 100)), "PNG"), settings)


@pytest.mark.parametrize(("kind", "options"), FORMATS)
def test_damaged_bytes_decode_or_raise_an_image_error_and_nothing_else(kind: str, options: dict[str, Any]) -> None:
    photo = saved(portrait().resize((64, 64)), kind, **options)
    dice = random.Random(f"{kind}{options}")
    refused = 0
    for _ in range(200):
        damaged = bytearray(photo)
        for _ in range(4):
            damaged[dice.randrange(len(photo))] = dice.randrange(256)
        try:
            assert decode(bytes(damaged), SETTINGS).shape[2] == 3
        except InvalidImage:
            refused += 1
    assert refused or kind == "BMP"
