"""What the limits of `gateway/quality.py` do, measured: `python -m tests.accuracy.quality [FOLDER]`.

FOLDER holds a folder of photos per person. Every photo is encoded as it is and in spoiled copies, and each copy is
compared with the mean of the same person's other photos and with the means of everybody else:

own       share of copies that are nearest to their own person
verified  share that reach, against their own person, the score which 0.1% of the untouched photos reach against others
lost      share of copies in which no face is found any more

Copies do not say everything: a turned head cannot be made from a photo, so poses are measured on the photos there are.
"""

from __future__ import annotations

import argparse
import asyncio
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from common.settings import EncoderSettings, QualitySettings
from common.types import Vectors
from common.vectors import mean_row
from gateway.encoder import EncodedFace, EncoderPool, Quality
from gateway.encoder.decode import decode
from gateway.quality import CHECKS, Purpose, Reason, limits, reasons
from tests.conftest import FACES

Spoil = Callable[[Image.Image, float], Image.Image]
"""photo, width of its face → the spoiled photo"""
UNTOUCHED = "untouched"
VERIFIED_FMR = 1e-3
SEED = 5
QUEUE = 10_000
"""one copy of every photo waits at a time"""
BINS: dict[str, tuple[float, ...]] = {
    "face_size": (30, 34, 40, 50, 60, 80, 110, 160),
    "eye_distance": (8, 10, 12, 14, 16, 20, 26, 36, 60),
    "sharpness": (0, 0.3, 0.6, 0.9, 1.2, 2, 3, 5, 8, 200),
    "brightness": (0, 10, 15, 20, 25, 30, 40, 60, 90, 150, 180, 200, 210, 220, 230, 256),
    "yaw": (0, 10, 20, 30, 36, 42, 50, 90),
    "roll": (0, 5, 10, 15, 20, 30, 40, 90),
    "confidence": (0, 0.1, 0.2, 0.3, 0.5, 0.8, 1.2, 4),
}


def blurred(percent: float) -> Spoil:
    """By a Gaussian of so much of the face's width."""
    return lambda image, face: image.filter(ImageFilter.GaussianBlur(face * percent / 100))


def lit(factor: float, noise: float = 0) -> Spoil:
    """So much light, cut off at white; `noise` of a camera added after that (standard deviation)."""

    def light(image: Image.Image, _: float) -> Image.Image:
        pixels = np.asarray(image, dtype=np.float64) * factor + noise * np.random.default_rng(SEED).normal(
            size=(image.height, image.width, 3)
        )
        return Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8))

    return light


def reduced(width: float, jpeg: int | None = None) -> Spoil:
    """So that the face has this width in pixels, or its own where that is less; `jpeg`: then stored at this quality."""

    def reduce(image: Image.Image, face: float) -> Image.Image:
        factor = min(1, width / face)
        small = image.resize((round(image.width * factor), round(image.height * factor)))
        if jpeg is None:
            return small
        file = io.BytesIO()
        small.save(file, "JPEG", quality=jpeg)
        return Image.open(file).convert("RGB")

    return reduce


def rolled(degrees: float) -> Spoil:
    return lambda image, _: image.rotate(degrees, Image.Resampling.BICUBIC)


SPOILED: dict[str, Spoil] = {
    **{f"blurred {percent}": blurred(percent) for percent in (1, 2, 3, 4, 5, 6)},
    **{f"lit {factor}": lit(factor) for factor in (0.06, 0.12, 0.25, 0.5, 1.5, 2.0, 2.5, 3.0, 4.0)},
    **{f"lit {factor}, noise": lit(factor, noise=2) for factor in (0.06, 0.12, 0.25)},
    **{f"reduced to {width}": reduced(width) for width in (80, 60, 50, 40, 36, 32)},
    **{f"reduced to {width}, JPEG": reduced(width, jpeg=40) for width in (80, 60, 50, 40)},
    **{f"rolled {degrees}": rolled(degrees) for degrees in (15, 30, 45)},
}


@dataclass(frozen=True, slots=True)
class Copy:
    """One photo, untouched or spoiled. `face`: the largest one, None where none is found any more."""

    person: int
    photo: int
    spoil: str
    face: EncodedFace | None


@dataclass(frozen=True, slots=True)
class Trial:
    """A copy with a face in it, compared with everybody."""

    copy: Copy
    quality: Quality
    own: bool
    verified: bool


def people_in(folder: Path) -> list[list[Path]]:
    """The photos of each person."""
    return [sorted(own.iterdir()) for own in sorted(folder.iterdir()) if own.is_dir()]


def opened(photo: Path) -> Image.Image:
    return Image.fromarray(decode(photo.read_bytes(), EncoderSettings()))


async def copies_of(people: Sequence[Sequence[Path]], pool: EncoderPool) -> list[Copy]:
    photos = [(person, nth, photo) for person, own in enumerate(people) for nth, photo in enumerate(own)]
    done = await asyncio.gather(*(_copies(*photo, pool) for photo in photos))
    return [copy for copies in done for copy in copies]


async def _copies(person: int, nth: int, photo: Path, pool: EncoderPool) -> list[Copy]:
    image = opened(photo)
    plain = await _largest(image, pool)
    copies = [Copy(person, nth, UNTOUCHED, plain)]
    if plain is not None:
        for name, spoil in SPOILED.items():
            spoiled = await _largest(spoil(image, plain.quality.face_size), pool)
            copies.append(Copy(person, nth, name, spoiled))
    return copies


async def _largest(image: Image.Image, pool: EncoderPool) -> EncodedFace | None:
    file = io.BytesIO()
    image.save(file, "BMP")
    faces = (await pool.encode(file.getvalue())).faces
    return faces[0] if faces else None


def trials(copies: Sequence[Copy]) -> list[Trial]:
    """Every copy with a face, of people who have two untouched photos with a face or more."""
    plain: dict[int, dict[int, Vectors]] = {}
    for copy in copies:
        if copy.spoil == UNTOUCHED and copy.face is not None:
            plain.setdefault(copy.person, {})[copy.photo] = copy.face.embedding
    known = {person: photos for person, photos in plain.items() if len(photos) > 1}
    column = {person: at for at, person in enumerate(known)}
    means = np.stack([mean_row(np.stack(list(photos.values()))) for photos in known.values()])
    compared = []
    for copy in copies:
        if copy.face is not None and copy.person in known:
            row = means @ copy.face.embedding
            others = [each for nth, each in known[copy.person].items() if nth != copy.photo]
            row[column[copy.person]] = mean_row(np.stack(others)) @ copy.face.embedding
            compared.append((copy, copy.face.quality, row))
    strange = [np.delete(row, column[copy.person]) for copy, _, row in compared if copy.spoil == UNTOUCHED]
    cut = np.quantile(np.concatenate(strange), 1 - VERIFIED_FMR)
    return [
        Trial(copy, quality, int(row.argmax()) == column[copy.person], bool(row[column[copy.person]] >= cut))
        for copy, quality, row in compared
    ]


def by_spoil(copies: Sequence[Copy], tried: Sequence[Trial]) -> Iterator[str]:
    for name in (UNTOUCHED, *SPOILED):
        lost = sum(copy.face is None for copy in copies if copy.spoil == name)
        yield f"  {name:20} {shares([trial for trial in tried if trial.copy.spoil == name])}  lost {lost:4}"


def by_number(tried: Sequence[Trial], measure: str, settings: QualitySettings) -> Iterator[str]:
    """Copies in bins of one number, of those with which nothing else is wrong."""
    checked = {reason for reason, name, _ in CHECKS if name == measure}
    alone = [trial for trial in tried if checked.issuperset(reasons(trial.quality, Purpose.ENROL, settings))]
    for low, high in pairwise(BINS[measure]):
        inside = [trial for trial in alone if low <= abs(getattr(trial.quality, measure)) < high]
        untouched = sum(trial.copy.spoil == UNTOUCHED for trial in inside)
        yield f"  {measure:13} {low:>5} to {high:<5} {shares(inside)}  untouched {untouched:4}"


def by_verdict(tried: Sequence[Trial], purpose: Purpose, settings: QualitySettings) -> Iterator[str]:
    judged = [(trial, reasons(trial.quality, purpose, settings)) for trial in tried]
    untouched = [bool(why) for trial, why in judged if trial.copy.spoil == UNTOUCHED]
    spoiled = [(trial, why) for trial, why in judged if trial.copy.spoil != UNTOUCHED]
    yield f"  untouched photos refused: {sum(untouched)} of {len(untouched)} ({np.mean(untouched):.1%})"
    yield f"  {'spoiled, passed':20} {shares([trial for trial, why in spoiled if not why])}"
    yield f"  {'spoiled, refused':20} {shares([trial for trial, why in spoiled if why])}"
    for reason in Reason:
        if alone := [trial for trial, why in spoiled if why == (reason,)]:
            yield f"    only {reason:15} {shares(alone)}"


def shares(tried: Sequence[Trial]) -> str:
    if not tried:
        return f"n {0:5}  own      -  verified      -"
    own, verified = (np.mean([getattr(trial, name) for trial in tried]) for name in ("own", "verified"))
    return f"n {len(tried):5}  own {own:6.1%}  verified {verified:6.1%}"


def report(copies: Sequence[Copy], settings: QualitySettings) -> Iterator[str]:
    tried = trials(copies)
    yield f"{len(copies)} copies of {len({(copy.person, copy.photo) for copy in copies})} photos"
    yield from by_spoil(copies, tried)
    yield "By number, of the faces with which nothing else is wrong:"
    for measure in BINS:
        yield from by_number(tried, measure, settings)
    for purpose in Purpose:
        yield f"Limits of {purpose}: {limits(purpose, settings)}"
        yield from by_verdict(tried, purpose, settings)


async def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=FACES / "people", help="a folder of photos per person")
    folder: Path = parser.parse_args().folder
    async with EncoderPool(EncoderSettings(encoder_queue=QUEUE)) as pool:
        copies = await copies_of(people_in(folder), pool)
    print("\n".join(report(copies, QualitySettings())))


if __name__ == "__main__":
    asyncio.run(main())
