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
from functools import cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

# scikit-image says it is typed but leaves these functions without annotations: hence [no-untyped-call] at their calls.
from skimage.data import astronaut
from skimage.filters import gaussian
from skimage.transform import ThinPlateSplineTransform, resize, warp

Points: TypeAlias = npt.NDArray[np.float64]
"""(n, 2) x and y, in pixels of the astronaut portrait unless a docstring says otherwise"""
Pixels: TypeAlias = npt.NDArray[np.float64]
"""(SIDE, SIDE, 3) red, green, blue, or (SIDE, SIDE, 1) the share of an area, each from 0 to 1"""
Traits: TypeAlias = dict[str, float]

SHOPPER_SEEDS = (150, 86, 24674, 39745, 266, 528, 6437, 21116, 34417, 39294, 639, 16639)
STRANGER_SEEDS = (331, 23492, 18232, 9848)

SIDE = 480  # pixels of a person's picture, before a photo is framed within it
PHOTO_SIDE = 432  # pixels of a photo
QUALITY = 92  # of the JPEG
GRID = 48  # the spline is evaluated on GRID x GRID points and interpolated between them: 100 times faster, same picture

LEFT, WIDTH = 108.0, 234.0  # the square of the portrait that is used; it begins at the top
CENTRE = np.array([225.5, 103.0])  # between the eyes
DOWN = np.array([0.0, 1.0])
EYES = 44.0  # pixels from eye to eye: the unit of the traits


def _points(text: str) -> Points:
    return np.array([pair.split(",") for pair in text.split()], dtype=np.float64)


# dlib's 68 landmarks of the portrait: jaw 0-16, brows 17-26, nose 27-35, eyes 36-47, outer lips 48-59, inner lips 60-67
LANDMARKS = _points(
    "180,105 180.5,116 181,128 182.5,139 185,150.5 191.5,160 200,169 209,176 220.5,179 232,177.5 243,172 253,164 "
    "260.5,154.5 265,143.5 268,132 271,120.5 272,109 187,94.5 192.5,88.5 201,87 209,89 217,93 236,94 244,91 "
    "252.5,91 260.5,92.5 265.5,99 226,102.5 226,111 226,119 225.5,127 215,131.5 220,133 224.5,134.5 230,133 "
    "235,132 195.5,101.5 201,98 207,99 213,104 207,104.5 200,104 238,105.5 244,101 250.5,101 255.5,105 250.5,107 "
    "244,107 201,139.5 209.5,139.5 218,140 224,141 230,140 238,140.5 246,141 238,151.5 229,155.5 222.5,156 "
    "216.5,155 208,150 204,141 218,143.5 223.5,144.5 229.5,144 243,142 229,150 223,151 217,150"
)
FOREHEAD = _points("272,103 266,89 247,83 223,82 202,79 187,74 185,90 177,110")
HAIR = _points("170,117 157,103 154,80 162,53 190,35 207,22 233,16 263,23 283,38 295,60 301,83 297,107 285,122 275,130")
NECK = _points("186,147 187,180 213,187 237,191 253,187 258,147")
EARS = (_points("172,117 173,127 182,133 183,113"), _points("267,127 268,137 277,133 281,127"))
BEARD = np.vstack([LANDMARKS[2:15], _points("256,134 247,146 237,153 223,157 209,153 200,146 194,134")])
MOUSTACHE = np.vstack([LANDMARKS[48:55], _points("236,134 224,136 213,134")])

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


def portrait(seed: int) -> npt.NDArray[np.uint8]:
    """The person of a seed, (SIDE, SIDE, 3), before rotation, framing, light and noise."""
    rng = np.random.default_rng(seed)
    # beta(0.6, 0.6) prefers the ends of each range, where people differ most
    traits = {name: low + (high - low) * float(rng.beta(0.6, 0.6)) for name, (low, high) in RANGES.items()}
    landmarks = _moved_landmarks(traits)
    image = _bent(_painted(traits, rng), landmarks, _moved_hair(traits))
    if traits["glasses"] > 0.2:
        image = _with_glasses(image, landmarks, traits)
    if traits["mirror"] > 0:
        image = image[:, ::-1]
    return _bytes(image)


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
    Image.fromarray(_bytes(noisy)).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def _bytes(pixels: Pixels) -> npt.NDArray[np.uint8]:
    return np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)


# Shape. Here points are in eye distances from CENTRE, x to the right and y down.


def _moved_landmarks(traits: Traits) -> Points:
    points = (LANDMARKS - CENTRE) / EYES
    _move_jaw(points[:17], traits)
    _move_eye(points[36:42], points[17:22], -1, traits)
    _move_eye(points[42:48], points[22:27], 1, traits)
    points[27:36, 1] += traits["nose_length"] * np.clip(points[27:36, 1] / 0.7, 0, 1)
    _scale(points[31:36], 1 + traits["nose_width"], 1)
    _move_mouth(points[48:], traits)
    return _stretched(points, traits)


def _move_jaw(jaw: Points, traits: Traits) -> None:
    down = np.clip(jaw[:, 1] / 1.7, 0, 1)  # 0 beside the eyes, 1 at the chin
    jaw[:, 0] *= 1 + traits["jaw"] + traits["taper"] * (down - 0.3)
    jaw[:, 1] += traits["chin"] * down**1.5


def _move_eye(eye: Points, brow: Points, side: int, traits: Traits) -> None:
    _scale(eye, 1 + traits["eye_width"], 1 + traits["eye_height"], side * traits["eye_tilt"])
    _scale(brow, 1, 1, side * traits["brow_tilt"])
    eye += side * traits["eye_gap"], traits["eye_drop"]
    brow += side * traits["eye_gap"], traits["eye_drop"] + traits["brow_drop"]
    brow[:, 1] -= traits["brow_arch"] * np.array([-1, 0.5, 1, 0.5, -1])


def _move_mouth(mouth: Points, traits: Traits) -> None:
    outer, inner = mouth[:12], mouth[12:]
    outer[:, 1] += traits["mouth_open"] / 2 * (outer[:, 1] - inner[:, 1].mean())
    _scale(inner, 1, 1 + traits["mouth_open"])
    _scale(mouth, 1 + traits["mouth_width"], 1 + traits["mouth_height"])
    mouth[:, 1] -= traits["smile"] * (((mouth[:, 0] - mouth[:, 0].mean()) / 0.5) ** 2 - 0.4)
    mouth[:, 1] += traits["mouth_drop"] + traits["nose_length"] / 2 + traits["chin"] / 4


def _moved_hair(traits: Traits) -> Points:
    hair = (HAIR - CENTRE) / EYES
    hair[:, 0] *= 1 + 0.7 * traits["jaw"] + traits["hair_width"]
    hair[:, 1] -= traits["hair_height"] * np.clip(-hair[:, 1] / 2, 0, 1)
    return _stretched(hair, traits)


def _stretched(points: Points, traits: Traits) -> Points:
    """Wider and lower by `aspect`, and back in pixels of the portrait."""
    wider: Points = points * np.array([1 + traits["aspect"], 1 / (1 + traits["aspect"])]) * EYES + CENTRE
    return wider


def _scale(points: Points, x: float, y: float, angle: float = 0) -> None:
    """Scale, then turn the points in place about their middle."""
    middle = points.mean(axis=0)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    points[:] = (points - middle) * (x, y) @ turn + middle


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


def _frame(points: Points) -> Points:
    """From pixels of the portrait to pixels of a person's picture."""
    return (points - (LEFT, 0)) * (SIDE / WIDTH)


# Colour. Everything is painted on the portrait before it is bent, so the areas are the same for every person.


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
