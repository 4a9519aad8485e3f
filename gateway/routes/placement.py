"""`/v1/shards`, `/v1/stores/{store}/move`, `/v1/rebalance`: who serves what, and orders to change that."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request, Response

from common.cluster_map import Heartbeat
from common.errors import TruthUnavailable
from common.limits import NAME_RULE
from common.types import ReplicaState
from gateway.body import JSON, content_type, read_json
from gateway.placement import rows_of
from gateway.routes.docs import StoreName, json_body, problems, request_body, succeeds
from gateway.routes.stores import store_answer
from gateway.schemas.requests import NAME_SCHEMA
from gateway.schemas.stores import (
    GroupAnswer,
    MoveAnswer,
    MoveBody,
    PlannedMove,
    RebalanceAnswer,
    ReplicaAnswer,
    ShardAnswer,
    ShardLoad,
    ShardsAnswer,
    StoreAnswer,
    StoreMove,
)
from gateway.services import Found, Limit, Services
from gateway.view import ClusterView

router = APIRouter(prefix="/v1", tags=["shards"])
ShardName = Annotated[str, Path(description=NAME_RULE, json_schema_extra=NAME_SCHEMA)]


@router.get("/shards", summary="Shards, their replicas and how far behind they are", responses=problems(401, 503))
async def list_shards(found: Found) -> ShardsAnswer:
    await found.view.known_stores()
    lags, view = await _lags(found), found.view
    names = sorted(view.shards.keys() | {config.shard for config in view.stores.values()} | view.orders.draining)
    return ShardsAnswer(shards=[_shard(name, view, lags) for name in names], truth=view.truth_state)


@router.post(
    "/shards/{shard}/drain",
    summary="Give the shard no more stores and its own to others",
    status_code=202,
    responses=problems(401, 404, 409, 422, 503),
)
async def drain(shard: ShardName, found: Found) -> ShardAnswer:
    await found.mover.drain(shard)
    return _shard(shard, found.view, await _lags(found))


@router.delete(
    "/shards/{shard}/drain", summary="Let the shard have stores again", responses=problems(401, 404, 422, 503)
)
async def undrain(shard: ShardName, found: Found) -> ShardAnswer:
    await found.mover.undrain(shard)
    return _shard(shard, found.view, await _lags(found))


@router.post(
    "/stores/{store}/move",
    summary="Move the store to another shard; searches go on meanwhile",
    status_code=202,
    responses=succeeds(200, "It is there already", StoreAnswer) | problems(400, 401, 404, 409, 413, 415, 422, 503, 504),
    openapi_extra=request_body(json_body(MoveBody)),
)
async def move_store(store: StoreName, request: Request, response: Response, found: Found, limit: Limit) -> StoreAnswer:
    content_type(request, [JSON])
    body = await read_json(request, MoveBody)
    limit.waive()
    config, ordered = await found.mover.move(store, body.shard)
    response.status_code = 202 if ordered else 200
    return await store_answer(config, found)


@router.post(
    "/rebalance",
    summary="Even out the shards, or show what that would move",
    status_code=202,
    responses=succeeds(200, "The plan; nothing was ordered", RebalanceAnswer) | problems(401, 422, 503),
)
async def rebalance(
    response: Response, found: Found, dry_run: Annotated[bool, Query(description="Only show the plan.")] = False
) -> RebalanceAnswer:
    planned = await found.mover.rebalance(dry_run=dry_run)
    response.status_code = 200 if dry_run or not planned.moves else 202
    moves = [PlannedMove(store=m.store, source=m.source, target=m.target, rows=m.rows) for m in planned.moves]
    loads = [
        ShardLoad(shard=shard, rows_before=rows, rows_after=planned.after[shard])
        for shard, rows in sorted(planned.before.items())
    ]
    return RebalanceAnswer(dry_run=dry_run, moves=moves, shards=loads)


async def _lags(found: Services) -> dict[str, int]:
    """How far each replica is behind, by boot; none while Redis is away."""
    try:
        return {beat.boot: lag for beat, lag in await found.catalogue.lags()}
    except TruthUnavailable:
        return {}


def _shard(name: str, view: ClusterView, lags: dict[str, int]) -> ShardAnswer:
    beats = view.shards.get(name, ())
    return ShardAnswer(
        shard=name,
        state=_state(beats),
        stores=sorted(config.store for config in view.stores.values() if config.shard == name),
        rows=rows_of(beats),
        draining=name in view.orders.draining,
        moves=[move for move in _moves(view) if name in {move.source, move.target}],
        replicas=[_replica(beat, lags.get(beat.boot)) for beat in beats],
    )


def _moves(view: ClusterView) -> list[StoreMove]:
    found = ((store, MoveAnswer.of(config, view.orders)) for store, config in sorted(view.stores.items()))
    return [StoreMove(store=store, **move.model_dump()) for store, move in found if move is not None]


def _state(beats: tuple[Heartbeat, ...]) -> Literal["ready", "loading", "down"]:
    if not beats:
        return "down"
    return "ready" if any(beat.state is ReplicaState.READY for beat in beats) else "loading"


def _replica(beat: Heartbeat, lag: int | None) -> ReplicaAnswer:
    return ReplicaAnswer(
        replica=beat.replica,
        url=beat.url,
        state=beat.state,
        boot=beat.boot,
        stores=len(beat.stores),
        rows=rows_of([beat]),
        lag=lag,
        age_s=round(max(0.0, time.time() - beat.at), 3),
        groups=[GroupAnswer(**asdict(group)) for group in beat.groups],
    )
