"""Answers to who is this, and are these two the same. Scores are cosines; milliseconds say so in their names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Literal

from pydantic import BaseModel

from common.cluster_map import StoreConfig
from common.members import MemberCard
from common.types import Candidate, Kind, Scope, Verdict
from common.vectors import distance
from gateway.coverage import Coverage
from gateway.encoder import Box, EncodedFace, Quality
from gateway.identify import Identified
from gateway.schemas import examples
from gateway.schemas.base import TruthState, with_example
from gateway.schemas.members import CardAnswer


class CandidateAnswer(BaseModel):
    model_config = with_example(examples.CANDIDATE)
    store: str
    face_id: str
    score: float
    distance: float
    kind: Kind
    member_id: str | None
    """the member that the face is bound to"""

    @classmethod
    def of(cls, candidate: Candidate) -> CandidateAnswer:
        return cls(
            store=candidate.store,
            face_id=candidate.face_id,
            score=candidate.score,
            distance=distance(candidate.score),
            kind=candidate.kind,
            member_id=candidate.member_id,
        )


class StoresCovered(BaseModel):
    total: int
    searched: int
    missing: list[str]


class CauseAnswer(BaseModel):
    replica: str | None
    """null: there was none to call"""
    code: str


class FailedShard(BaseModel):
    """A shard of which stores were not searched."""

    shard: str
    code: str
    """of the last cause; `STORE_NOT_SERVED` where replicas answered, but do not have a store in memory (yet)"""
    causes: list[CauseAnswer]
    """every call that failed, in order of time"""


class ShardsCovered(BaseModel):
    total: int
    ok: int
    failed: list[FailedShard]


class CoverageAnswer(BaseModel):
    model_config = with_example(examples.COVERAGE)
    stores: StoresCovered
    rows: int
    """searched"""
    rows_missing: int | None
    """of the stores that are missing, as last known; null: not known of all of them"""
    shards: ShardsCovered

    @classmethod
    def of(cls, coverage: Coverage) -> CoverageAnswer:
        return cls.model_validate(coverage.report())


class BoxAnswer(BaseModel):
    left: int
    top: int
    width: int
    height: int

    @classmethod
    def of(cls, box: Box) -> BoxAnswer:
        return cls(left=box.left, top=box.top, width=box.width, height=box.height)


class QualityAnswer(BaseModel):
    """How good a face is to recognise."""

    model_config = with_example(examples.QUALITY)
    face_size: float
    """pixels, smaller side of the box"""
    eye_distance: float
    """pixels"""
    sharpness: float
    """sharp faces have 10 to 80, blurred ones below 1"""
    brightness: float
    """mean luma, 0 to 255"""
    yaw: float
    """degrees, 0: to the camera; a rough estimate"""
    roll: float
    """degrees, 0: upright"""
    confidence: float
    """the detector's score, above 0; clear faces have 1 to 3"""

    @classmethod
    def of(cls, quality: Quality) -> QualityAnswer:
        return cls.model_validate({name: round(value, 2) for name, value in asdict(quality).items()})


class RouteAnswer(BaseModel):
    mode: Literal["home", "fan_out"]
    shard: str
    """the home store's"""
    versions: dict[str, int]
    """store → version at which it was searched; the home store's is the `expected_version` to enrol a stranger with"""


class ResultAnswer(BaseModel):
    model_config = with_example(examples.RESULT)
    box: BoxAnswer | None
    """where the face is in the photo; null for an embedding"""
    quality: QualityAnswer | None
    """null for an embedding"""
    verdict: Verdict
    candidates: list[CandidateAnswer]
    member: CardAnswer | None
    """whose face matched best, a few seconds old at most; null: nobody's, or not known right now"""
    threshold: float
    coverage: CoverageAnswer
    route: RouteAnswer

    @classmethod
    def of(
        cls, result: Identified, home: StoreConfig, face: EncodedFace | None, cards: Mapping[str, MemberCard]
    ) -> ResultAnswer:
        card = cards.get(result.member_id or "")
        return cls(
            box=None if face is None else BoxAnswer.of(face.box),
            quality=None if face is None else QualityAnswer.of(face.quality),
            verdict=result.verdict,
            candidates=[CandidateAnswer.of(candidate) for candidate in result.candidates],
            member=None if card is None else CardAnswer.of(card),
            threshold=result.threshold,
            coverage=CoverageAnswer.of(result.coverage),
            route=RouteAnswer(mode=result.mode, shard=home.shard, versions=result.coverage.searched),
        )


class TimingAnswer(BaseModel):
    encode_ms: float
    home_ms: float
    fan_out_ms: float
    total_ms: float


class SearchAnswer(BaseModel):
    model_config = with_example(
        {
            "store": "vienna-1",
            "scope": "auto",
            "truth": "ok",
            "view_age_s": 0.2,
            "results": [examples.RESULT],
            "timing": {"encode_ms": 91.0, "home_ms": 2.1, "fan_out_ms": 3.4, "total_ms": 97.2},
        }
    )
    store: str
    scope: Scope
    truth: TruthState
    view_age_s: float
    """since the map and the heartbeats were read"""
    results: list[ResultAnswer]
    """one a face found in the photo, largest first; one an embedding, in the order sent"""
    timing: TimingAnswer


class VerifyAnswer(BaseModel):
    model_config = with_example({"score": 0.9731, "distance": 0.2319, "threshold": 0.926, "fmr": 0.001, "match": True})
    score: float
    distance: float
    threshold: float
    fmr: float
    """chance that two different people score the threshold or more"""
    match: bool


class RecognizeAnswer(BaseModel):
    model_config = with_example({"result": "095"})
    result: str | None
    """the face id; null: nobody enrolled matches"""
