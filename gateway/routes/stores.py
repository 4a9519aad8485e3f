"""`/v1/stores` and `/v1/shards`: what there is and who serves it."""

from __future__ import annotations

import time
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from common.cluster_map import Heartbeat, StoreConfig
from common.errors import TruthUnavailable
from common.types import ReplicaState
from gateway.body import JSON, content_type, read_json
from gateway.catalogue import StoreChange
from gateway.placement import rows_of
from gateway.routes.docs import StoreName, json_body, problems, request_body, succeeds
from gateway.schemas.requests import StoreBody
from gateway.schemas.stores import ReplicaAnswer, ShardAnswer, ShardsAnswer, StoreAnswer, StoresAnswer
from gateway.services import Found, Limit, Services
from gateway.view import ClusterView

router = APIRouter(prefix="/v1", tags=["stores"])


@router.put(
    "/stores/{store}",
    summary="Create a store, or change its settings",
    status_code=201,
    responses=succeeds(200, "It was there; its settings are as asked now", StoreAnswer)
    | problems(400, 401, 404, 409, 413, 415, 422, 503, 504),
    openapi_extra=request_body(json_body(StoreBody)),
)
async def put_store(store: StoreName, request: Request, response: Response, found: Found, limit: Limit) -> StoreAnswer:
    content_type(request, [JSON])
    body = await read_json(request, StoreBody)
    limit.waive()
    change = StoreChange(
        shard=body.shard,
        group=body.group,
        timezone=body.timezone,
        threshold=body.threshold,
        clear_threshold=body.threshold is None and "threshold" in body.model_fields_set,
    )
    config, new = await found.catalogue.put(store, change)
    response.status_code = 201 if new else 200
    return await _store(config, found)


@router.get("/stores", summary="All stores", responses=problems(401, 503))
async def list_stores(found: Found) -> StoresAnswer:
    stores = dict(sorted((await found.view.known_stores()).items()))
    faces = await found.catalogue.faces(list(stores.values()))
    answers = [StoreAnswer.of(config, faces[store]) for store, config in stores.items()]
    return StoresAnswer(stores=answers, truth=found.view.truth_state)


@router.get("/stores/{store}", summary="One store", responses=problems(401, 404, 503))
async def get_store(store: StoreName, found: Found) -> StoreAnswer:
    return await _store(await found.view.store(store), found)


@router.delete(
    "/stores/{store}", summary="Delete a store and its faces", status_code=204, responses=problems(401, 404, 409, 503)
)
async def delete_store(
    store: StoreName,
    found: Found,
    force: Annotated[bool, Query(description="Delete it even if it still holds faces.")] = False,
) -> None:
    await found.catalogue.delete(store, force=force)


@router.get("/shards", summary="Shards, their replicas and how far behind they are", responses=problems(401, 503))
async def list_shards(found: Found) -> ShardsAnswer:
    await found.view.known_stores()
    try:
        lags = {beat.boot: lag for beat, lag in await found.catalogue.lags()}
    except TruthUnavailable:
        lags = {}
    view = found.view
    names = sorted(view.shards.keys() | {config.shard for config in view.stores.values()})
    return ShardsAnswer(shards=[_shard(name, view, lags) for name in names], truth=view.truth_state)


async def _store(config: StoreConfig, found: Services) -> StoreAnswer:
    return StoreAnswer.of(config, (await found.catalogue.faces([config]))[config.store])


def _shard(name: str, view: ClusterView, lags: dict[str, int]) -> ShardAnswer:
    beats = view.shards.get(name, ())
    return ShardAnswer(
        shard=name,
        state=_state(beats),
        stores=sorted(config.store for config in view.stores.values() if config.shard == name),
        rows=rows_of(beats),
        replicas=[_replica(beat, lags.get(beat.boot)) for beat in beats],
    )


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
    )
