"""Answers. Times are RFC 3339 in UTC; scores are cosines; milliseconds and seconds say so in their names."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from common.cluster_map import StoreConfig
from common.records import FaceRecord
from common.types import Candidate, Kind, ReplicaState, Scope, Verdict
from common.vectors import distance
from gateway.encoder import Box
from gateway.identify import Identified
from gateway.router import Coverage
from gateway.schemas import examples

TruthState = Literal["ok", "unreachable"]


def _example(value: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [value]})


def at(unix_seconds: float) -> datetime:
    return datetime.fromtimestamp(unix_seconds, UTC)


class Health(BaseModel):
    model_config = _example({"status": "ok"})
    status: Literal["ok", "ready"]


class StoreAnswer(BaseModel):
    model_config = _example(examples.STORE)
    store: str
    shard: str
    group: str
    timezone: str
    space: str
    threshold: float | None
    faces: int
    """in Redis; while it is away, the rows the shard serves"""
    created: datetime

    @classmethod
    def of(cls, config: StoreConfig, faces: int) -> StoreAnswer:
        return cls(
            store=config.store,
            shard=config.shard,
            group=config.group,
            timezone=config.timezone,
            space=config.space,
            threshold=config.threshold,
            faces=faces,
            created=at(config.created),
        )


class StoresAnswer(BaseModel):
    model_config = _example({"stores": [examples.STORE], "truth": "ok"})
    stores: list[StoreAnswer]
    truth: TruthState


class ReplicaAnswer(BaseModel):
    replica: str
    url: str
    state: ReplicaState
    boot: str
    stores: int
    rows: int
    lag: int | None
    """versions behind Redis, over all its stores; null while Redis cannot be reached"""
    age_s: float
    """since its last heartbeat"""


class ShardAnswer(BaseModel):
    model_config = _example(examples.SHARD)
    shard: str
    state: Literal["ready", "loading", "down"]
    stores: list[str]
    rows: int
    replicas: list[ReplicaAnswer]


class ShardsAnswer(BaseModel):
    model_config = _example({"shards": [examples.SHARD], "truth": "ok"})
    shards: list[ShardAnswer]
    truth: TruthState


class FaceAnswer(BaseModel):
    model_config = _example(examples.FACE)
    face_id: str
    kind: Kind
    labels: dict[str, str]
    templates: int
    created: datetime
    updated: datetime
    thumbnail: bool

    @classmethod
    def of(cls, face_id: str, record: FaceRecord) -> FaceAnswer:
        return cls(
            face_id=face_id,
            kind=record.kind,
            labels=record.labels,
            templates=record.templates,
            created=at(record.created),
            updated=at(record.updated),
            thumbnail=record.thumbnail,
        )


class FacesAnswer(BaseModel):
    model_config = _example({"faces": [examples.FACE], "cursor": "1536"})
    faces: list[FaceAnswer]
    cursor: str | None
    """pass it on to get the next page; null at the end"""


class EnrolAnswer(FaceAnswer):
    model_config = _example(examples.FACE | {"store": "vienna-1", "new": True, "version": 12, "visible": True})
    store: str
    new: bool
    """false: the face was there and got templates"""
    version: int
    """of the store after this write"""
    visible: bool
    """every live replica serves it already"""


class EraseAnswer(BaseModel):
    model_config = _example({"store": "vienna-1", "face_id": "ada", "deleted": True, "version": 13, "visible": True})
    store: str
    face_id: str
    deleted: bool
    version: int
    visible: bool
    """no live replica serves it any more"""


class CandidateAnswer(BaseModel):
    model_config = _example(examples.CANDIDATE)
    store: str
    face_id: str
    score: float
    distance: float

    @classmethod
    def of(cls, candidate: Candidate) -> CandidateAnswer:
        return cls(
            store=candidate.store,
            face_id=candidate.face_id,
            score=candidate.score,
            distance=distance(candidate.score),
        )


class StoresCovered(BaseModel):
    total: int
    searched: int
    missing: list[str]


class FailedShard(BaseModel):
    shard: str
    code: str


class ShardsCovered(BaseModel):
    total: int
    ok: int
    failed: list[FailedShard]


class CoverageAnswer(BaseModel):
    model_config = _example(examples.COVERAGE)
    stores: StoresCovered
    rows: int
    shards: ShardsCovered

    @classmethod
    def of(cls, coverage: Coverage) -> CoverageAnswer:
        failed = [FailedShard(shard=shard, code=code) for shard, code in sorted(coverage.failed.items())]
        return cls(
            stores=StoresCovered(total=len(coverage.stores), searched=len(coverage.searched), missing=coverage.missing),
            rows=coverage.rows,
            shards=ShardsCovered(total=len(coverage.shards), ok=len(coverage.shards) - len(failed), failed=failed),
        )


class BoxAnswer(BaseModel):
    left: int
    top: int
    width: int
    height: int


class RouteAnswer(BaseModel):
    mode: Literal["home", "fan_out"]
    shard: str
    """the home store's"""
    versions: dict[str, int]
    """store → version at which it was searched; the home store's is the `expected_version` to enrol a stranger with"""


class ResultAnswer(BaseModel):
    model_config = _example(examples.RESULT)
    box: BoxAnswer | None
    """where the face is in the photo; null for an embedding"""
    verdict: Verdict
    candidates: list[CandidateAnswer]
    threshold: float
    coverage: CoverageAnswer
    route: RouteAnswer

    @classmethod
    def of(cls, result: Identified, home: StoreConfig, box: Box | None) -> ResultAnswer:
        return cls(
            box=None if box is None else BoxAnswer(left=box.left, top=box.top, width=box.width, height=box.height),
            verdict=result.verdict,
            candidates=[CandidateAnswer.of(candidate) for candidate in result.candidates],
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
    model_config = _example(
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
    model_config = _example({"score": 0.9731, "distance": 0.2319, "threshold": 0.926, "fmr": 0.001, "match": True})
    score: float
    distance: float
    threshold: float
    fmr: float
    """chance that two different people score the threshold or more"""
    match: bool


class RecognizeAnswer(BaseModel):
    model_config = _example({"result": "095"})
    result: str | None
    """the face id; null: nobody enrolled matches"""


class ProblemAnswer(BaseModel):
    """RFC 9457. `field` and `limit` name what was wrong with the input; some codes add fields of their own."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:facegrid:problem:unknown-store",
                    "title": "The store does not exist",
                    "status": 404,
                    "detail": "Store graz-9 does not exist; PUT /v1/stores/graz-9 creates it.",
                    "code": "UNKNOWN_STORE",
                    "field": "store",
                }
            ]
        },
    )
    type: str
    title: str
    status: int
    detail: str
    code: str
    field: str | None = None
    limit: Any = None
