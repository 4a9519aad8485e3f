"""The score above which two embeddings are taken for one person, by how many rows were looked at.

A fixed cut-off is wrong: the more rows, the likelier a stranger resembles one of them. With FMR(t) the chance that two
strangers score t or more, a stranger matches anyone among N rows with the chance FPIR(N) = 1 - (1 - FMR(t))^N
(ISO/IEC 19795-1); `threshold` solves that for t.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise

from common.types import DLIB_SPACE

FMR_CURVES: dict[str, tuple[tuple[float, float], ...]] = {
    # score, FMR: measured on 77.7 million pairs of different people (LFW, unit-length dlib embeddings)
    DLIB_SPACE: ((0.9075, 1e-2), (0.926, 1e-3), (0.941, 1e-4), (0.9535, 1e-5), (0.964, 1e-6)),
}
HIGHEST = 0.995
"""No threshold is above this: beyond it, photos of one person stop matching too."""


def fmr_needed(rows: int, target_fpir: float) -> float:
    """The FMR at which a stranger matches anyone among `rows` with the chance `target_fpir`."""
    return -math.expm1(math.log1p(-target_fpir) / max(rows, 1))


@lru_cache(maxsize=4096)
def score_at_fmr(space: str, fmr: float) -> float:
    """The score that strangers reach with the chance `fmr`: log-linear between the measured points.

    Below the smallest FMR measured the last slope goes on, up to HIGHEST; above the largest, its score is the floor.
    Monotone: a smaller `fmr` never gives a lower score.
    """
    curve = FMR_CURVES[space]
    wanted = math.log10(fmr)
    if wanted >= math.log10(curve[0][1]):
        return curve[0][0]
    for (low, low_fmr), (high, high_fmr) in pairwise(curve):
        slope = (high - low) / (math.log10(high_fmr) - math.log10(low_fmr))
        score = low + slope * (wanted - math.log10(low_fmr))
        if wanted >= math.log10(high_fmr):
            return score
    return min(score, HIGHEST)


def threshold(space: str, rows: int, target_fpir: float) -> float:
    """The score a candidate must reach among `rows` rows of `space` to count as a match."""
    return score_at_fmr(space, fmr_needed(rows, target_fpir))
