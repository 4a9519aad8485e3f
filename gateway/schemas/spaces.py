"""Answers about embedding spaces."""

from __future__ import annotations

import math

from pydantic import BaseModel

from common.types import DLIB_DIMENSION, DLIB_SPACE
from gateway.schemas.base import with_example
from gateway.spaces import Space

SPACE = {
    "space": DLIB_SPACE,
    "dimension": DLIB_DIMENSION,
    "people": 2739,
    "pairs": 17648468,
    "least_fmr": 1e-6,
    "measured_rows": 10050,
    "source": "LFW",
}


class SpaceAnswer(BaseModel):
    model_config = with_example(SPACE)
    space: str
    dimension: int
    people: int
    """on whose photos its false match rates were measured"""
    pairs: int
    """of photos of different people"""
    least_fmr: float
    """the smallest false match rate that was measured"""
    measured_rows: int
    """so many may be searched at the gateway's target FPIR before thresholds are extrapolated"""
    source: str

    @classmethod
    def of(cls, space: Space, target_fpir: float) -> SpaceAnswer:
        curve = space.curve
        least = curve.points[-1].fmr
        return cls(
            space=space.name,
            dimension=space.dimension,
            people=curve.people,
            pairs=curve.pairs,
            least_fmr=least,
            measured_rows=int(math.log1p(-target_fpir) / math.log1p(-least)),
            source=curve.source,
        )


class SpacesAnswer(BaseModel):
    model_config = with_example({"spaces": [SPACE]})
    spaces: list[SpaceAnswer]
