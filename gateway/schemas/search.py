"""Answers to who is this, and are these two the same. Scores are cosines; milliseconds say so in their names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from pydantic import BaseModel

from common.types import Kind, Scope, Verdict
from gateway.encoder import EncodedFace
from gateway.quality import Reason
from gateway.schemas import examples
from gateway.schemas.base import TruthState, with_example
from gateway.schemas.members import CardAnswer
from gateway.schemas.photo import BoxAnswer, QualityAnswer
from gateway.verdict import Why


class CandidateAnswer(BaseModel):
    model_config = with_example(examples.CANDIDATE)
    store: str
    face_id: str
    score: float
    distance: float
    kind: Kind
    member_id: str | None
    """the member that the face is bound to"""
    photos: int
    """behind the face"""
    threshold: float
    """what its score must reach to be a match: the more photos are behind it, the more"""


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


class RouteAnswer(BaseModel):
    mode: Literal["home", "fan_out"]
    shard: str
    """the home store's"""
    versions: dict[str, int]
    """store → version at which it was searched; the home store's is the `expected_version` to enrol a stranger with"""


class Seen(NamedTuple):
    """The face in a photo that a probe came from."""

    face: EncodedFace
    reasons: Sequence[Reason]


class SaidAnswer(BaseModel):
    """Who it is that a probe shows."""

    verdict: Verdict
    reason: Why | None = None
    """of an inconclusive verdict; AMBIGUOUS: somebody matches, and somebody else nearly as well"""
    candidates: list[CandidateAnswer]
    """the farthest above its threshold first"""
    member: CardAnswer | None
    """whose face matched best, a few seconds old at most; null: nobody's, or not known right now"""
    threshold: float
    """of the best candidate; where there is none, of a face with one template"""
    threshold_measured: bool
    """false: so many rows need a smaller false match rate than was ever measured in this space"""


class ResultAnswer(SaidAnswer):
    model_config = with_example(examples.RESULT)
    box: BoxAnswer | None
    """where the face is in the photo; null for an embedding"""
    quality: QualityAnswer | None
    """null for an embedding"""
    reasons: list[Reason]
    """why the face is too poor to count as a sighting, and this answer worth little; empty: it is good enough"""
    coverage: CoverageAnswer
    route: RouteAnswer


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


class BatchResultAnswer(SaidAnswer):
    """About one probe of a batch; what its coverage says stands in `coverages`, once for all that share it."""

    model_config = with_example(examples.BATCH_RESULT)
    store: str
    """home"""
    mode: Literal["home", "fan_out"]
    version: int | None
    """of the home store when it was searched: the `expected_version` to enrol a stranger with; null: it was not"""
    coverage: int
    """place in `coverages`"""


class BatchAnswer(BaseModel):
    model_config = with_example(
        {
            "scope": "auto",
            "truth": "ok",
            "view_age_s": 0.2,
            "results": [examples.BATCH_RESULT],
            "coverages": [examples.COVERAGE],
            "timing": {"encode_ms": 0.1, "home_ms": 2.1, "fan_out_ms": 3.4, "total_ms": 6.2},
        }
    )
    scope: Scope
    truth: TruthState
    view_age_s: float
    """since the map and the heartbeats were read"""
    results: list[BatchResultAnswer]
    """one a probe, in the order sent"""
    coverages: list[CoverageAnswer]
    timing: TimingAnswer


class RecognizeAnswer(BaseModel):
    model_config = with_example({"result": "095"})
    result: str | None
    """the face id; null: nobody enrolled matches"""
