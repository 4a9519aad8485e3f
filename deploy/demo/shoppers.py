"""Invented people for the demo: photos of a dozen shoppers and a few strangers, made from one public portrait.

The portrait is scikit-image's astronaut (NASA, public domain, part of the package: no download). A person is a seed.
The seed draws traits; skin, hair, brows and beard are painted, the landmarks of the face are moved, and a thin-plate
spline bends the picture to follow them. Photos of a person differ in rotation, framing, light and noise. The same call
gives the same bytes. No face model is needed here: the portrait's landmarks are stored below.

Not every seed gives a face that dlib's detector finds, and two seeds may look alike to dlib. The seeds below were
chosen from 40,000: a linear model from trait to embedding proposed 1,000 that differ much; dlib looked at those and at
700 others; of the people found in every photo, without folds in the picture, the sixteen were taken whose most alike
pair is least alike. Over all photos, different people score below 0.887 and photos of one person above 0.98.
tests/deploy/test_shoppers.py holds the bounds. A change to anything that draws, moves or paints needs a new choice.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from deploy.demo.portrait import SIDE, as_bytes, portrait

SHOPPER_SEEDS = (150, 86, 24674, 39745, 266, 528, 6437, 21116, 34417, 39294, 639, 16639)
STRANGER_SEEDS = (331, 23492, 18232, 9848)

PHOTO_SIDE = 432  # pixels of a photo
QUALITY = 92  # of the JPEG


@dataclass(frozen=True, slots=True)
class Shopper:
    name: str
    photos: tuple[bytes, ...]
    """JPEG, PHOTO_SIDE pixels square, one face each; the first ones are meant for enrolment"""


def shoppers(count: int = 12, photos_each: int = 4) -> list[Shopper]:
    """The first `count` shoppers, `photos_each` photos of each; ValueError if more are asked for than there are."""
    return _people("shopper", SHOPPER_SEEDS, count, photos_each)


def strangers(count: int = 4) -> list[Shopper]:
    """People who are none of the shoppers, two photos each; ValueError if more are asked for than there are."""
    return _people("stranger", STRANGER_SEEDS, count, photos_each=2)


def _people(kind: str, seeds: Sequence[int], count: int, photos_each: int) -> list[Shopper]:
    if not 0 <= count <= len(seeds):
        raise ValueError(f"count must be from 0 to {len(seeds)}, not {count}.")
    return [Shopper(f"{kind}-{n:02d}", _photos(seed, photos_each)) for n, seed in enumerate(seeds[:count], start=1)]


def _photos(seed: int, count: int) -> tuple[bytes, ...]:
    picture = Image.fromarray(portrait(seed))
    return tuple(_photo(picture, np.random.default_rng((seed, shot))) for shot in range(count))


def _photo(picture: Image.Image, rng: np.random.Generator) -> bytes:
    """One photo of a picture. The frame never leaves the turned picture: 212 * (cos 5° + sin 5°) + 8 < SIDE / 2."""
    middle, half = SIDE / 2 + rng.uniform(-8, 8, size=2), rng.uniform(196, 212)
    frame = (*(middle - half), *(middle + half))
    turned = picture.rotate(rng.uniform(-5, 5), Image.Resampling.BICUBIC)
    pixels = np.asarray(turned.resize((PHOTO_SIDE, PHOTO_SIDE), Image.Resampling.BICUBIC, box=frame)) / 255
    side_light = 1 + rng.uniform(-0.08, 0.08) * np.linspace(-1, 1, PHOTO_SIDE)[None, :, None]
    lit = pixels * side_light * rng.uniform(0.88, 1.12) * rng.uniform(0.97, 1.03, size=3)
    noisy = lit + rng.normal(0, rng.uniform(0.004, 0.016), size=pixels.shape)
    buffer = io.BytesIO()
    Image.fromarray(as_bytes(noisy)).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
