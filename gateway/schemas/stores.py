"""Answers about stores, shards and replicas."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from common.cluster_map import Orders, StoreConfig
from common.limits import REENTRY_WINDOW_S, RETENTION_DAYS
from common.types import ReplicaState
from gateway.schemas import examples
from gateway.schemas.base import TruthState, at, with_example
from gateway.schemas.requests import Body, Name


class MoveBody(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"shard": "s2"}]})

    shard: Name = Field(description="The shard to move the store to.")


class MoveAnswer(BaseModel):
    source: str
    target: str
    state: Literal["queued", "loading", "leaving"]
    """queued; loaded by the target, searched at the source; searched at the target, still served by the source"""

    @classmethod
    def of(cls, config: StoreConfig, orders: Orders) -> MoveAnswer | None:
        """How far the store's move has come; None while it is not on its way."""
        if config.moving_to is not None:
            return cls(source=config.shard, target=config.moving_to, state="loading")
        if config.moving_from is not None:
            return cls(source=config.moving_from, target=config.shard, state="leaving")
        ordered = orders.moves.get(config.store, config.shard)
        return None if ordered == config.shard else cls(source=config.shard, target=ordered, state="queued")


class StoreMove(MoveAnswer):
    store: str


class StoreAnswer(BaseModel):
    model_config = with_example(examples.STORE)
    store: str
    shard: str
    group: str
    timezone: str
    space: str
    threshold: float | None
    target_fpir: float | None
    """null: the gateway's"""
    margin: float | None
    reentry_window_s: int
    retention_days: int
    member_retention_days: int | None
    faces: int
    """in Redis; while it is away, the rows the shard serves"""
    created: datetime
    move: MoveAnswer | None
    """null while the store is not on its way to another shard"""

    @classmethod
    def of(cls, config: StoreConfig, faces: int, orders: Orders) -> StoreAnswer:
        return cls(
            store=config.store,
            shard=config.shard,
            group=config.group,
            timezone=config.timezone,
            space=config.space,
            threshold=config.threshold,
            target_fpir=config.target_fpir,
            margin=config.margin,
            reentry_window_s=REENTRY_WINDOW_S if config.reentry_window_s is None else config.reentry_window_s,
            retention_days=RETENTION_DAYS if config.retention_days is None else config.retention_days,
            member_retention_days=config.member_retention_days,
            faces=faces,
            created=at(config.created),
            move=MoveAnswer.of(config, orders),
        )


class StoresAnswer(BaseModel):
    model_config = with_example({"stores": [examples.STORE], "truth": "ok"})
    stores: list[StoreAnswer]
    truth: TruthState


class GroupAnswer(BaseModel):
    """How a replica searches its stores of one group."""

    group: str
    space: str
    rows: int
    index: str
    """flat, or the factory string of Faiss by whose codes candidates are nominated"""
    coded: int
    """rows that have a code; the others are scanned"""
    recall: float | None
    """share of rows whose nearest other row the codes found when they were built; null: flat, or not measured yet"""


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
    groups: list[GroupAnswer]


class ShardAnswer(BaseModel):
    model_config = with_example(examples.SHARD)
    shard: str
    state: Literal["ready", "loading", "down"]
    stores: list[str]
    rows: int
    draining: bool
    """it gets no stores and gives those that it has away"""
    moves: list[StoreMove]
    """stores on their way from or to this shard"""
    replicas: list[ReplicaAnswer]


class ShardsAnswer(BaseModel):
    model_config = with_example({"shards": [examples.SHARD], "truth": "ok"})
    shards: list[ShardAnswer]
    truth: TruthState


class PlannedMove(BaseModel):
    store: str
    source: str
    target: str
    rows: int


class ShardLoad(BaseModel):
    shard: str
    rows_before: int
    rows_after: int


class RebalanceAnswer(BaseModel):
    model_config = with_example(examples.REBALANCE)
    dry_run: bool
    moves: list[PlannedMove]
    """the largest first"""
    shards: list[ShardLoad]
