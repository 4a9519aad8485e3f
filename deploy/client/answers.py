"""The gateway's JSON answers, as its clients read them: only the fields that they use."""

from __future__ import annotations

from typing import TypedDict


class MoveBody(TypedDict):
    source: str
    target: str
    state: str


class StoreMove(MoveBody):
    store: str


class StoreBody(TypedDict):
    store: str
    shard: str
    group: str
    timezone: str
    space: str
    threshold: float | None
    faces: int
    move: MoveBody | None


class ReplicaBody(TypedDict):
    replica: str
    url: str
    state: str
    stores: int
    rows: int
    lag: int | None
    age_s: float


class ShardBody(TypedDict):
    shard: str
    state: str
    stores: list[str]
    rows: int
    draining: bool
    moves: list[StoreMove]
    """of stores on their way from or to this shard"""
    replicas: list[ReplicaBody]


class PlannedMove(TypedDict):
    store: str
    source: str
    target: str
    rows: int


class ShardLoad(TypedDict):
    shard: str
    rows_before: int
    rows_after: int


class PlanBody(TypedDict):
    moves: list[PlannedMove]
    shards: list[ShardLoad]


class FaceBody(TypedDict):
    face_id: str
    kind: str
    templates: int
    thumbnail: bool


class EnrolledBody(TypedDict):
    store: str
    face_id: str
    new: bool
    templates: int
    visible: bool


class BulkBody(TypedDict):
    faces: int
    created: int
    updated: int
    visible: bool


class CandidateBody(TypedDict):
    store: str
    face_id: str
    score: float
    distance: float
    photos: int
    threshold: float


class BoxBody(TypedDict):
    """In pixels of the upright photo."""

    left: int
    top: int
    width: int
    height: int


class FailedShard(TypedDict):
    shard: str
    code: str


class ShardCoverage(TypedDict):
    total: int
    ok: int
    failed: list[FailedShard]


class StoreCoverage(TypedDict):
    total: int
    searched: int
    missing: list[str]


class CoverageBody(TypedDict):
    stores: StoreCoverage
    rows: int
    shards: ShardCoverage


class RouteBody(TypedDict):
    mode: str
    shard: str


class ResultBody(TypedDict):
    box: BoxBody | None
    verdict: str
    reason: str | None
    candidates: list[CandidateBody]
    threshold: float
    threshold_measured: bool
    coverage: CoverageBody
    route: RouteBody


class TimingBody(TypedDict):
    encode_ms: float
    home_ms: float
    fan_out_ms: float
    total_ms: float


class SearchBody(TypedDict):
    store: str
    scope: str
    truth: str
    results: list[ResultBody]
    timing: TimingBody


class VerifyBody(TypedDict):
    score: float
    distance: float
    fmr: float
    threshold: float
    threshold_measured: bool
    match: bool
    fmr_at_score: float
