"""From embeddings of known people to the FMR curve of their space (`gateway.fmr`, which has the formulas).

**Points.** Every quarter of a decade, from 1e-1 down while LEAST_PAIRS pairs of different people are behind one: with
fewer, the next person would move it. Below the last point a curve says that it does not know.

**Exponents.** People with at least k and m photos give means of k against means of m, drawn anew DRAWS times. At each
FMR the score of such means, over the score of single photos of the *same* people, gives an exponent; over the (k, m)
of MEANS they agree, and the least-squares slope of log scores over log lengths is taken. They fall with the FMR. Beyond
what the people with several photos can show, they go on falling as LFW's do, with dlib, and where nothing could be
measured they are LFW's: `Fit.means_down_to` says from where on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.errors import InvalidCurve
from common.types import Vectors
from deploy.measure.labelled import BINS, Compared, Ints, Labelled, bins, compare
from gateway.fmr import FmrCurve, Point

LEAST_PAIRS = 10
LEAST_PAIRS_OF_MEANS = 30
"""in one draw; an exponent is the small difference of two scores"""
LEAST_PEOPLE = 20
"""with several photos each, for exponents"""
GRID = tuple(10.0 ** (-step / 4) for step in range(4, 37))
"""FMR 1e-1 to 1e-9"""
MEANS = ((2, 1), (2, 2), (3, 1), (3, 2), (3, 3))
DRAWS = 10
LFW_EXPONENTS = ((1e-1, 0.91), (1e-2, 0.77), (1e-3, 0.66), (1e-4, 0.55), (1e-5, 0.50))
HIGHEST_EXPONENT = 1.0
"""a mean that were not made a unit vector again would score as single photos do"""
MOST_PHOTOS = 10
"""of a row or a probe, for which a curve's thresholds are held monotone"""


@dataclass(frozen=True, slots=True)
class Fit:
    curve: FmrCurve
    means_down_to: float | None
    """the smallest FMR for which exponents were measured; None: nowhere, they are LFW's"""


def fit_curve(people: Labelled, source: str, compared: Compared | None = None) -> Fit:
    """The curve of `people`; `compared` spares comparing them again.

    Raises InvalidCurve where they are too few for two points.
    """
    pairs = compared or compare(people)
    grid = [fmr for fmr in GRID if fmr * pairs.pairs >= LEAST_PAIRS]
    scores = [pairs.score_at(fmr) for fmr in grid]
    rising = [at for at in range(len(grid)) if at == 0 or scores[at] > max(scores[:at])]
    if len(rising) < 2:
        needed = math.ceil(LEAST_PAIRS / GRID[1])
        detail = f"A curve needs {needed} different scores of different people; here are {pairs.pairs} pairs."
        raise InvalidCurve(detail, field="people", limit=needed)
    grid, scores = [grid[at] for at in rising], [scores[at] for at in rising]
    same_person = mean_of_own(pairs, people.people)
    measured = _exponents(people, grid, same_person)
    exponents = _monotone(scores, _filled(grid, measured), same_person)
    points = tuple(Point(*point) for point in zip(scores, grid, exponents, strict=True))
    curve = FmrCurve(points, same_person, pairs.pairs, people.people, source)
    return Fit(curve, min(measured, default=None))


def mean_of_own(compared: Compared, people: int) -> float:
    """c: the mean score of two photos of one person, every person with two or more photos counted once; 0 to 1.

    Raises InvalidCurve where nobody has two photos.
    """
    counts = np.bincount(compared.own_person, minlength=people)
    if not counts.any():
        raise InvalidCurve("Nobody has two photos, so nothing is known of one person's scores.", field="person")
    sums = np.bincount(compared.own_person, compared.own, minlength=people)
    return float(np.clip((sums[counts > 0] / counts[counts > 0]).mean(), 0, 1))


def length(photos: int, same_person: float) -> float:
    """r: of the mean of so many photos of one person."""
    return math.sqrt((1 + (photos - 1) * same_person) / photos)


def _exponents(people: Labelled, grid: Sequence[float], same_person: float) -> dict[float, float]:
    """FMR → exponent, where it can be measured."""
    products = dict.fromkeys(grid, 0.0)
    squares = dict.fromkeys(grid, 0.0)
    singles: dict[int, Compared] = {}
    for templates, photos in MEANS:
        several = [p for p, rows in enumerate(people.photos_of) if len(rows) >= max(templates, photos)]
        shrinking = -math.log(length(templates, same_person) * length(photos, same_person))
        if len(several) < LEAST_PEOPLE or not shrinking:
            continue
        if len(several) not in singles:
            singles[len(several)] = _drawn(people, several, 1, 1)
        single, means = singles[len(several)], _drawn(people, several, templates, photos)
        weight = float(len(several) * (len(several) - 1))
        for fmr in grid:
            low, high = single.score_at(fmr), means.score_at(fmr)
            if fmr * weight >= LEAST_PAIRS_OF_MEANS and low > 0:
                products[fmr] += weight * shrinking * math.log(max(high, low) / low)
                squares[fmr] += weight * shrinking**2
    return {fmr: min(products[fmr] / squares[fmr], HIGHEST_EXPONENT) for fmr in grid if squares[fmr]}


def _drawn(people: Labelled, several: Sequence[int], templates: int, photos: int) -> Compared:
    """Means of `templates` photos of each against means of `photos` photos of each other, over DRAWS draws."""
    chance = np.random.default_rng(0)
    counts = np.zeros(BINS, dtype=np.int64)
    others = ~np.eye(len(several), dtype=bool)
    for _ in range(DRAWS):
        gallery, probes = (
            mean_rows(people, [chance.choice(people.photos_of[p], size, replace=False) for p in several])
            for size in (templates, photos)
        )
        counts += np.bincount(bins((gallery @ probes.T)[others]), minlength=BINS)
    return Compared(counts, np.zeros(0), np.zeros(0, dtype=np.int64))


def mean_rows(people: Labelled, photos: Sequence[Ints]) -> Vectors:
    """The unit-length mean of each group of rows, (len(photos), d)."""
    means = np.stack([people.rows[rows].astype(np.float64).mean(axis=0) for rows in photos])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    return means.astype(np.float32)


def _filled(grid: Sequence[float], measured: dict[float, float]) -> list[float]:
    """An exponent for every FMR, never rising as the FMR falls: the measured ones, after the last LFW's shape."""
    filled: list[float] = []
    scale = 1.0
    for fmr in grid:
        exponent = measured.get(fmr)
        if exponent is None:
            exponent = scale * _lfw_exponent(fmr)
        else:
            scale = exponent / _lfw_exponent(fmr)
        filled.append(float(np.clip(exponent, 0.0, filled[-1] if filled else HIGHEST_EXPONENT)))
    return filled


def _lfw_exponent(fmr: float) -> float:
    fmrs, exponents = zip(*reversed(LFW_EXPONENTS), strict=True)
    return float(np.interp(math.log10(fmr), np.log10(fmrs), exponents))


def _monotone(scores: Sequence[float], exponents: Sequence[float], same_person: float) -> list[float]:
    """Exponents that never fall so fast that a smaller FMR would get a lower threshold, up to MOST_PHOTOS a side."""
    shrinking = -2 * math.log(length(MOST_PHOTOS, same_person))
    kept = [exponents[0]]
    for at in range(1, len(scores)):
        rise = math.log(scores[at] / scores[at - 1]) / shrinking if scores[at - 1] > 0 and shrinking else math.inf
        kept.append(max(exponents[at], kept[-1] - rise))
    return kept
