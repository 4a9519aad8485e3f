"""`/v1/stores/{store}/migration`: change a store's embedding space, and who has to be photographed for that."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request

from common.limits import MAX_PAGE, check_name
from common.scan import START
from gateway.body import JSON, content_type, read_json
from gateway.migration import Progress
from gateway.routes.docs import Cursor, StoreName, json_body, problems, request_body
from gateway.schemas.migration import MigrationAnswer, MigrationBody
from gateway.services import Found, Limit, Services

router = APIRouter(prefix="/v1/stores/{store}/migration", tags=["stores"])
SHOWN = 100


@router.post(
    "",
    summary="Take the store to another embedding space, as far as one request can",
    responses=problems(400, 401, 404, 409, 413, 415, 422, 503, 504),
    openapi_extra=request_body(json_body(MigrationBody)),
)
async def migrate(store: StoreName, request: Request, found: Found, limit: Limit) -> MigrationAnswer:
    """Templates are made again from the thumbnails that were kept. Until all are, the store is searched in the space it
    has; then it changes at once. Repeat the request while `state` is `staging`."""
    content_type(request, [JSON])
    body = await read_json(request, MigrationBody)
    to = check_name("to", body.to)
    progress = await found.migrator.advance(store, to, leave_behind=body.leave_behind, deadline=limit)
    return await _answer(progress, found, START, SHOWN)


@router.get("", summary="How far that is, and who has to be photographed", responses=problems(401, 404, 422, 503))
async def get_migration(
    store: StoreName,
    found: Found,
    cursor: Cursor = START,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="About so many faces a page.")] = SHOWN,
) -> MigrationAnswer:
    """A face may be on two pages. Without a migration on its way: those whom the last one left behind."""
    return await _answer(await found.migrator.look(store), found, cursor, limit)


async def _answer(progress: Progress, found: Services, cursor: str, limit: int) -> MigrationAnswer:
    following, missing = await found.migrator.missing(progress, cursor, limit)
    return MigrationAnswer.of(progress, missing, following)
