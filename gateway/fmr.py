"""The score above which two embeddings are taken for one person, by how many rows were looked at.

A fixed cut-off is wrong: the more rows, the likelier a stranger resembles one of them. With FMR(t) the chance that two
strangers score t or more, a stranger matches anyone among N rows with the chance FPIR(N) = 1 - (1 - FMR(t))^N
(ISO/IEC 19795-1); `threshold` solves that for t. FMR(t) is measured, once for each embedding space.

Means resemble each other more than photos do. The mean of k photos of one person, two of which score c, has the length
r(k) = sqrt((1 + (k - 1) c) / k) before it is made a unit vector again, and that stretches what all faces have in common
too: with the curve of single photos, strangers match 14 times as often as they should where three photos are enrolled
and two are searched for (LFW, dlib). The curve shifts by a power of that length,

    t(f; k, m) = t(f; 1, 1) / (r(k) r(m))^a(f)

with an exponent a that falls with the FMR f but hardly depends on k and m: measured on LFW for k up to 10 and m up to
5, 0.77 at 1e-2, 0.66 at 1e-3, 0.54 at 1e-4 and 0.50 at 1e-5. Rejected: a = 1 (rows that are not made unit vectors),
which would rank worse: 85% instead of 99% found of 500 people at 1% FPIR.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

from common.errors import InvalidCurve

HIGHEST = 0.995
"""No threshold is above this: beyond it, photos of one person stop matching too."""
MOST_POINTS = 200


@dataclass(frozen=True, slots=True)
class Point:
    score: float
    fmr: float
    """chance that single photos of two strangers score `score` or more"""
    exponent: float
    """how thresholds of means follow their lengths, by the formula above"""


@dataclass(frozen=True, eq=False)
class FmrCurve:
    """Measured for one embedding space."""

    points: tuple[Point, ...]
    """scores rising, FMR falling"""
    same_person: float
    """c: the mean score of two photos of one person"""
    pairs: int
    """of different people, behind the points"""
    people: int
    source: str

    def score_at(self, fmr: float, enrolled: int = 1, searched: int = 1) -> float:
        """The score that strangers reach with the chance `fmr`: the mean of `enrolled` photos of one against the mean
        of `photos` photos of the other.

        Log-linear between the points. Below the smallest FMR measured the last slope goes on, up to HIGHEST; above the
        largest, its score is the floor. Never lower for more photos on either side, nor for a smaller `fmr`, unless
        the exponents fall faster than the scores rise; `facegrid calibrate` sees to it that they do not.
        """
        return _score_at(self, fmr, enrolled, searched)

    def supports(self, fmr: float) -> bool:
        """Whether so small an FMR was measured; beyond it, `score_at` goes on by the last slope."""
        return fmr >= self.points[-1].fmr

    def fmr_at(self, score: float) -> float:
        """The inverse of `score_at` for single photos, within what was measured: the chance that strangers reach
        `score`, never below the smallest FMR measured nor above the largest."""
        first, last = self.points[0], self.points[-1]
        if score <= first.score:
            return first.fmr
        for low, high in pairwise(self.points):
            if score <= high.score:
                part = (score - low.score) / (high.score - low.score)
                return float(low.fmr * (high.fmr / low.fmr) ** part)
        return last.fmr

    def length(self, photos: int) -> float:
        """r: how long the mean of so many photos of one person is."""
        return math.sqrt((1 + (photos - 1) * self.same_person) / photos)

    def to_json(self, space: str) -> str:
        points = [[round(point.score, 5), float(f"{point.fmr:.4g}"), round(point.exponent, 3)] for point in self.points]
        head = {"space": space, "source": self.source, "people": self.people, "pairs": self.pairs}
        body = json.dumps(head | {"same_person": round(self.same_person, 4)}, indent=2)
        rows = ",\n".join(f"    {json.dumps(point)}" for point in points)
        return f'{body[:-2]},\n  "points": [\n{rows}\n  ]\n}}\n'

    @classmethod
    def from_json(cls, text: str, space: str | None = None) -> FmrCurve:
        """Raises InvalidCurve naming the field that is wrong; `space`: the one that it has to be of, if it says any."""
        try:
            read = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidCurve(f"An FMR curve is a JSON object: {error}.", field="curve") from None
        curve = cls.from_dict(read)
        if space is not None and read.get("space", space) != space:
            raise InvalidCurve(f"The curve is of the space {read['space']}.", field="space", limit=space)
        return curve

    @classmethod
    def from_dict(cls, read: Any) -> FmrCurve:
        """Raises InvalidCurve naming the field that is wrong."""
        if not isinstance(read, dict):
            raise InvalidCurve("An FMR curve is a JSON object.", field="curve")
        same_person = _number(read, "same_person", 0.0, 1.0)
        pairs, people = int(_number(read, "pairs", 1, 1e15)), int(_number(read, "people", 2, 1e12))
        source = read.get("source")
        if not isinstance(source, str) or not source:
            raise InvalidCurve("source says where the figures come from.", field="source")
        return cls(_points(read.get("points")), same_person, pairs, people, source)


def fmr_needed(rows: int, target_fpir: float) -> float:
    """The FMR at which a stranger matches anyone among `rows` with the chance `target_fpir`."""
    return -math.expm1(math.log1p(-target_fpir) / max(rows, 1))


@lru_cache(maxsize=65_536)  # a search asks about ten times
def threshold(curve: FmrCurve, rows: int, target_fpir: float, enrolled: int = 1, searched: int = 1) -> float:
    """The score that a face of `enrolled` photos must reach among `rows` rows to match a probe of `searched`."""
    return _score_at(curve, fmr_needed(rows, target_fpir), enrolled, searched)


def _score_at(curve: FmrCurve, fmr: float, enrolled: int, searched: int) -> float:
    score, exponent = _between(curve.points, fmr)
    shrunk = curve.length(enrolled) * curve.length(searched)
    return float(min(score / shrunk**exponent, HIGHEST)) if score > 0 else float(score)


def _between(points: Sequence[Point], fmr: float) -> tuple[float, float]:
    """Score and exponent at an FMR."""
    if fmr >= points[0].fmr:
        return points[0].score, points[0].exponent
    at = min(bisect_left(points, -fmr, key=lambda point: -point.fmr), len(points) - 1)
    low, high = points[at - 1], points[at]
    part = math.log(low.fmr / fmr) / math.log(low.fmr / high.fmr)
    exponent = low.exponent + (high.exponent - low.exponent) * min(part, 1.0)
    return low.score + (high.score - low.score) * part, exponent


def _number(read: dict[str, Any], field: str, least: float, most: float) -> float:
    value = read.get(field)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise InvalidCurve(f"{field} must be a number, {least:g} to {most:g}.", field=field, limit=[least, most])
    return float(value)


def _points(rows: Any) -> tuple[Point, ...]:
    if not isinstance(rows, list) or not 2 <= len(rows) <= MOST_POINTS:
        raise InvalidCurve(f"points must be a list of 2 to {MOST_POINTS}.", field="points", limit=[2, MOST_POINTS])
    points = tuple(_point(row, at) for at, row in enumerate(rows))
    for at, (low, high) in enumerate(pairwise(points)):
        if not (low.score < high.score and low.fmr > high.fmr):
            raise InvalidCurve("Scores must rise and FMRs fall from point to point.", field=f"points[{at + 1}]")
    return points


def _point(row: Any, at: int) -> Point:
    field = f"points[{at}]"
    if not isinstance(row, list) or len(row) != 3 or any(isinstance(v, bool) for v in row):
        raise InvalidCurve("A point is [score, FMR, exponent].", field=field)
    if not all(isinstance(value, int | float) for value in row):
        raise InvalidCurve("A point is three numbers: score, FMR, exponent.", field=field)
    score, fmr, exponent = row
    if not (-1 <= score <= 1 and 0 < fmr <= 1 and 0 <= exponent <= 2):  # before `float`, which raises for huge integers
        raise InvalidCurve("Scores are -1 to 1, FMRs above 0 to 1, exponents 0 to 2.", field=field)
    return Point(float(score), float(fmr), float(exponent))
