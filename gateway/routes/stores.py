"""`/v1/stores`: what there is. Who serves it, and moving it: `placement`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from common.cluster_map import StoreConfig
from gateway.body import JSON, content_type, read_json
from gateway.catalogue import StoreChange
from gateway.routes.docs import StoreName, json_body, problems, request_body, succeeds
from gateway.schemas.requests import StoreBody
from gateway.schemas.stores import StoreAnswer, StoresAnswer
from gateway.services import Found, Limit, Services

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
        space=body.space,
        threshold=body.threshold,
        target_fpir=body.target_fpir,
        margin=body.margin,
        reentry_window_s=body.reentry_window_s,
        retention_days=body.retention_days,
        member_retention_days=body.member_retention_days,
        clear=frozenset(name for name in body.model_fields_set if getattr(body, name) is None),
    )
    config, new = await found.catalogue.put(store, change)
    response.status_code = 201 if new else 200
    return await store_answer(config, found)


@router.get("/stores", summary="All stores", responses=problems(401, 503))
async def list_stores(found: Found) -> StoresAnswer:
    stores = dict(sorted((await found.view.known_stores()).items()))
    faces = await found.catalogue.faces(list(stores.values()))
    orders = found.view.orders
    answers = [StoreAnswer.of(config, faces[store], orders) for store, config in stores.items()]
    return StoresAnswer(stores=answers, truth=found.view.truth_state)


@router.get("/stores/{store}", summary="One store", responses=problems(401, 404, 503))
async def get_store(store: StoreName, found: Found) -> StoreAnswer:
    return await store_answer(await found.view.store(store), found)


@router.delete(
    "/stores/{store}", summary="Delete a store and its faces", status_code=204, responses=problems(401, 404, 409, 503)
)
async def delete_store(
    store: StoreName,
    found: Found,
    force: Annotated[bool, Query(description="Delete it even if it still holds faces.")] = False,
) -> None:
    await found.closing.delete(await found.view.store(store), force=force)


async def store_answer(config: StoreConfig, found: Services) -> StoreAnswer:
    return StoreAnswer.of(config, (await found.catalogue.faces([config]))[config.store], found.view.orders)
