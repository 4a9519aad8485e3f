"""Paints one invented person: colours on the portrait, then a thin-plate spline that bends it to the moved landmarks.

Everything is painted on the portrait before it is bent, so the areas are the same for every person; glasses, which stay
straight, come last.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

# scikit-image says it is typed but leaves these functions without annotations: hence [no-untyped-call] at their calls.
from skimage.data import astronaut
from skimage.filters import gaussian
from skimage.transform import ThinPlateSplineTransform, resize, warp

from deploy.demo.face_shape import (
    BEARD,
    CENTRE,
    EARS,
    EYES,
    FOREHEAD,
    HAIR,
    LANDMARKS,
    MOUSTACHE,
    NECK,
    Points,
    Traits,
    moved_hair,
    moved_landmarks,
)

Pixels: TypeAlias = npt.NDArray[np.float64]
"""(SIDE, SIDE, 3) red, green, blue, or (SIDE, SIDE, 1) the share of an area, each from 0 to 1"""

SIDE = 480  # pixels of a person's picture
GRID = 48  # the spline is evaluated on GRID x GRID points and interpolated between them: 100 times faster, same picture

LEFT, WIDTH = 108.0, 234.0  # the square of the astronaut's portrait that is used; it begins at the top
DOWN = np.array([0.0, 1.0])

HAIR_COLOURS = (
    (0.10, 0.09, 0.09),
    (0.24, 0.16, 0.11),
    (0.46, 0.32, 0.2),
    (0.5, 0.22, 0.1),
    (0.74, 0.62, 0.4),
    (0.62,) * 3,
)
HAIR_LIGHT = 0.42  # mean brightness of the hair in the portrait
LIPSTICK = np.array([0.62, 0.18, 0.2])
CLOTHES = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))  # orders of the colour channels

# Trait: smallest and largest value. Lengths are in eye distances, sizes relative, angles in radians; a strength below
# zero means "none". Wider ranges make people more different, and faces that no detector finds. The order counts: each
# trait takes the next number that the seed gives.
# fmt: off
RANGES: dict[str, tuple[float, float]] = {
    "aspect": (-0.07, 0.07), "jaw": (-0.17, 0.24), "taper": (-0.2, 0.25), "chin": (-0.22, 0.3),
    "eye_gap": (-0.12, 0.14), "eye_drop": (-0.06, 0.06), "eye_width": (-0.18, 0.25), "eye_height": (-0.2, 0.25),
    "eye_tilt": (-0.24, 0.24), "brow_drop": (-0.06, 0.08), "brow_tilt": (-0.22, 0.28), "brow_arch": (-0.07, 0.1),
    "nose_length": (-0.2, 0.24), "nose_width": (-0.25, 0.75), "mouth_drop": (-0.1, 0.1),
    "mouth_width": (-0.28, 0.26), "mouth_height": (-0.3, 0.45), "mouth_open": (-0.4, 0.1), "smile": (-0.16, 0.08),
    "hair_width": (-0.05, 0.15), "hair_height": (-0.1, 0.08), "skin": (-0.65, 0.08), "warmth": (-0.05, 0.1),
    "hair": (0, len(HAIR_COLOURS)), "hair_light": (0.8, 1.15), "brows": (-0.2, 0.9), "lipstick": (-0.5, 0.6),
    "beard": (-1, 0.8), "moustache": (-1, 0.8), "glasses": (-1, 1), "glass_size": (0.85, 1.2),
    "glass_round": (0, 1), "clothes": (0, len(CLOTHES)), "mirror": (-1, 1),
}
# fmt: on


def portrait(seed: int) -> npt.NDArray[np.uint8]:
    """The person of a seed, (SIDE, SIDE, 3), before rotation, framing, light and noise."""
    rng = np.random.default_rng(seed)
    # beta(0.6, 0.6) prefers the ends of each range, where people differ most
    traits = {name: low + (high - low) * float(rng.beta(0.6, 0.6)) for name, (low, high) in RANGES.items()}
    landmarks = moved_landmarks(traits)
    image = _bent(_painted(traits, rng), landmarks, moved_hair(traits))
    if traits["glasses"] > 0.2:
        image = _with_glasses(image, landmarks, traits)
    if traits["mirror"] > 0:
        image = image[:, ::-1]
    return as_bytes(image)


def as_bytes(pixels: Pixels) -> npt.NDArray[np.uint8]:
    """From 0..1 to 0..255; what is outside is clipped."""
    return np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)


def _bent(image: Pixels, landmarks: Points, hair: Points) -> Pixels:
    """Bend the image so that the portrait's landmarks and outline of the hair come to lie where the given ones are."""
    ticks = np.linspace(0, WIDTH, 7)
    border = np.array([(LEFT + x, y) for x in ticks for y in ticks if {x, y} & {0, WIDTH}])
    spline = ThinPlateSplineTransform.from_estimate(
        (np.vstack([landmarks, hair, border]) - CENTRE) / EYES,
        (np.vstack([LANDMARKS, HAIR, border]) - CENTRE) / EYES,
    )
    middles = (np.arange(GRID) + 0.5) * WIDTH / GRID
    x, y = np.meshgrid(LEFT + middles, middles)
    sources = _frame(spline((np.column_stack([x.ravel(), y.ravel()]) - CENTRE) / EYES) * EYES + CENTRE)
    return _sampled(image, sources.reshape(GRID, GRID, 2))


def _sampled(image: Pixels, sources: npt.NDArray[np.float64]) -> Pixels:
    """The image with each pixel taken from where `sources`, (GRID, GRID, 2) x and y in the image, says."""
    field = resize(sources, (SIDE, SIDE), order=1, mode="edge", anti_aliasing=False)  # type: ignore[no-untyped-call]
    where = np.stack([field[..., 1], field[..., 0]])
    channels = [warp(image[..., n], where, order=1, mode="edge") for n in range(3)]  # type: ignore[no-untyped-call]
    return np.dstack(channels)


def _painted(traits: Traits, rng: np.random.Generator) -> Pixels:
    areas, image = _areas(), _portrait()
    light = image.mean(axis=2, keepdims=True)
    dark, warm = traits["skin"], traits["warmth"]
    hair = np.array(HAIR_COLOURS[int(traits["hair"])]) * traits["hair_light"]
    grain = gaussian(rng.normal(size=(SIDE, SIDE, 1)), 1, channel_axis=2)  # type: ignore[no-untyped-call]
    ink = hair * 0.6 * (1 + 0.7 * grain)
    skin_gain = (1 + 0.75 * dark + 0.3 * warm, 1 + 0.95 * dark, 1 + 1.05 * dark - 0.8 * warm)
    image = _blend(image[..., CLOTHES[int(traits["clothes"])]], image, areas["head"])
    image = _blend(image, np.clip(image * skin_gain, 0, 1), areas["skin"])
    image = _blend(image, np.clip(hair * light / HAIR_LIGHT, 0, 1), areas["hair"])
    image = _blend(image, hair * 0.6, areas["brows"] * max(0.0, traits["brows"]))
    image = _blend(image, LIPSTICK * (1 + 0.6 * dark) * (0.5 + light), areas["lips"] * max(0.0, traits["lipstick"]))
    image = _blend(image, ink, areas["beard"] * max(0.0, traits["beard"]))
    return _blend(image, ink, areas["moustache"] * max(0.0, traits["moustache"]))


def _frame(points: Points) -> Points:
    """From pixels of the portrait to pixels of a person's picture."""
    return (points - (LEFT, 0)) * (SIDE / WIDTH)


def _blend(image: Pixels, colour: Pixels, share: Pixels) -> Pixels:
    return image * (1 - share) + colour * share


@cache
def _portrait() -> Pixels:
    whole = Image.fromarray(astronaut())  # type: ignore[no-untyped-call]
    box = (LEFT, 0, LEFT + WIDTH, WIDTH)
    return np.asarray(whole.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=box)) / 255


@cache
def _areas() -> dict[str, Pixels]:
    """The soft-edged areas of the portrait that are painted."""
    face = np.vstack([LANDMARKS[:17], FOREHEAD])
    eyes, inner_lips = [LANDMARKS[36:42], LANDMARKS[42:48]], LANDMARKS[60:68]
    brows = [np.vstack([brow - 2.2 * DOWN, brow[::-1] + 2.2 * DOWN]) for brow in (LANDMARKS[17:22], LANDMARKS[22:27])]
    return {
        "head": _area([face, HAIR, NECK, *EARS], [], blur=3),
        "skin": _area([face, NECK, *EARS], [*eyes, inner_lips], blur=2),
        "hair": _area([HAIR], [face], blur=3),
        "brows": _area(brows, [], blur=2.5),
        "lips": _area([LANDMARKS[48:60]], [inner_lips], blur=1.5),
        "beard": _area([BEARD], [], blur=4),
        "moustache": _area([MOUSTACHE], [], blur=2.5),
    }


def _area(outlines: Sequence[Points], without: Sequence[Points], blur: float) -> Pixels:
    mask = Image.new("L", (SIDE, SIDE))
    draw = ImageDraw.Draw(mask)
    for shade, group in ((255, outlines), (0, without)):
        for outline in group:
            draw.polygon([(x, y) for x, y in _frame(outline)], fill=shade)
    return np.asarray(mask.filter(ImageFilter.GaussianBlur(blur)))[..., None] / 255


def _with_glasses(image: Pixels, landmarks: Points, traits: Traits) -> Pixels:
    """Rims about the moved eyes, a bridge and two temples, drawn four times too large and reduced for smooth edges."""
    scale = 4 * SIDE / WIDTH
    half = np.array([13.5, 9 + 3 * traits["glass_round"]]) * traits["glass_size"]
    stroke, corner = round((1 + 1.4 * traits["glasses"]) * scale), (6 + (half[1] - 6) * traits["glass_round"]) * scale
    left, right = (landmarks[first : first + 6].mean(axis=0) + 1.5 * DOWN for first in (36, 42))
    hinge, across = half * (1, 0) - 2 * DOWN, half * (-1, 0) - 2 * DOWN
    mask = Image.new("L", (4 * SIDE, 4 * SIDE))
    draw = ImageDraw.Draw(mask)
    for eye in (left, right):
        rim = 4 * _frame(np.array([eye - half, eye + half]))
        draw.rounded_rectangle([*rim.ravel()], corner, outline=255, width=stroke)
    for ends in (
        (left + hinge, right + across),
        (left + across, landmarks[0] - 5 * DOWN),
        (right + hinge, landmarks[16] - 5 * DOWN),
    ):
        draw.line([*(4 * _frame(np.array(ends))).ravel()], fill=255, width=stroke)
    share = np.asarray(mask.resize((SIDE, SIDE), Image.Resampling.LANCZOS))[..., None] / 255
    return _blend(image, np.array([0.08, 0.07, 0.07]), share)
