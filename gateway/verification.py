"""Whether two faces are one person's (1:1), at a stated chance that two strangers would pass for one.

The threshold is that of single photos, raised where the stored face is a mean of several: means resemble strangers more
(`gateway/fmr.py`). Pure: no I/O.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from gateway.fmr import FmrCurve

STEPS = 40
"""halvings of the span of a curve, some ten decades: far below what a score can tell"""


@dataclass(frozen=True, slots=True)
class Verified:
    score: float
    threshold: float
    fmr: float
    measured: bool
    """whether the curve was measured down to this FMR; if not, the threshold goes on by its last slope"""
    fmr_at_score: float
    """the FMR at which this score would just match, within what was measured"""

    @property
    def match(self) -> bool:
        return self.score >= self.threshold


def compare(curve: FmrCurve, score: float, fmr: float, photos: int = 1) -> Verified:
    """`score` of a single photo against the mean of `photos` photos."""
    threshold = curve.score_at(fmr, photos)
    return Verified(score, threshold, fmr, curve.supports(fmr), fmr_at(curve, score, photos))


def fmr_at(curve: FmrCurve, score: float, photos: int = 1) -> float:
    """The inverse of `curve.score_at`; at most the largest FMR measured and at least the smallest."""
    largest, smallest = curve.points[0].fmr, curve.points[-1].fmr
    if score <= curve.score_at(largest, photos):
        return largest
    if score >= curve.score_at(smallest, photos):
        return smallest
    passes, fails = math.log(largest), math.log(smallest)
    for _ in range(STEPS):
        middle = (passes + fails) / 2
        if score >= curve.score_at(math.exp(middle), photos):
            passes = middle
        else:
            fails = middle
    return math.exp(passes)
