"""Answers about stores, shards and replicas."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from common.cluster_map import StoreConfig
from common.types import ReplicaState
from gateway.schemas import examples
from gateway.schemas.base import TruthState, at, with_example


class StoreAnswer(BaseModel):
    model_config = with_example(examples.STORE)
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
    model_config = with_example({"stores": [examples.STORE], "truth": "ok"})
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
    model_config = with_example(examples.SHARD)
    shard: str
    state: Literal["ready", "loading", "down"]
    stores: list[str]
    rows: int
    replicas: list[ReplicaAnswer]


class ShardsAnswer(BaseModel):
    model_config = with_example({"shards": [examples.SHARD], "truth": "ok"})
    shards: list[ShardAnswer]
    truth: TruthState
