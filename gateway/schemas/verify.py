"""Are these two the same person? What is asked, and the answer."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from common.vectors import distance
from gateway.schemas.base import with_example
from gateway.schemas.examples import EMBEDDING
from gateway.schemas.requests import Body, Embedding, Name
from gateway.verification import Verified


class VerifyOptions(Body):
    """What is asked beside the photos or embeddings."""

    store: Name | None = None
    face_id: Name | None = Field(None, description="With one photo or embedding: compare to this face of the store.")
    fmr: float | None = Field(
        None,
        ge=1e-9,
        lt=1,
        description="Accepted chance that two different people match; left out: FACEGRID_VERIFY_FMR.",
    )
    space: Name | None = Field(
        None, description="Embedding space; left out: the store's, or dlib's where no store is named."
    )


class VerifyBody(VerifyOptions):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"embeddings": [EMBEDDING, EMBEDDING]},
                {"embeddings": [EMBEDDING], "store": "vienna-1", "face_id": "ada", "fmr": 0.0001},
            ]
        }
    )

    embeddings: Annotated[list[Embedding], Field(min_length=1, max_length=2)]


class VerifyAnswer(BaseModel):
    model_config = with_example(
        {
            "score": 0.9731,
            "distance": 0.2319,
            "space": "dlib-resnet-v1",
            "photos": 1,
            "fmr": 0.001,
            "threshold": 0.9255,
            "threshold_measured": True,
            "match": True,
            "fmr_at_score": 3.1e-7,
        }
    )
    score: float
    distance: float
    space: str
    photos: int
    """photos behind the stored face; 1 where two photos or embeddings were sent"""
    fmr: float
    """chance that two different people score the threshold or more"""
    threshold: float
    threshold_measured: bool
    """false: nobody has measured so small an FMR; the threshold goes on by the curve's last slope"""
    match: bool
    fmr_at_score: float
    """the FMR at which this score would just match, no smaller and no larger than was measured"""

    @classmethod
    def of(cls, verified: Verified, space: str, photos: int) -> VerifyAnswer:
        return cls(
            score=verified.score,
            distance=distance(verified.score),
            space=space,
            photos=photos,
            fmr=verified.fmr,
            threshold=verified.threshold,
            threshold_measured=verified.measured,
            match=verified.match,
            fmr_at_score=verified.fmr_at_score,
        )
