"""One person with two faces, or two with one: merge, look at the templates, split."""

from __future__ import annotations

from fastapi import APIRouter, Request

from common.limits import check_name
from common.types import Wait
from gateway.body import JSON, content_type, read_json
from gateway.enrol import unknown_face
from gateway.merge import Named
from gateway.revise import Revised
from gateway.routes.docs import FaceId, StoreName, WaitFor, json_body, problems, request_body
from gateway.schemas.merge import FaceName, MergeAnswer, MergeBody, SplitAnswer, SplitBody, TemplatesAnswer
from gateway.services import Found, Limit, Services

router = APIRouter(prefix="/v1", tags=["faces"])


@router.post(
    "/faces/merge",
    summary="Make two faces that are one person one face",
    responses=problems(400, 401, 404, 409, 413, 415, 422, 503, 504),
    openapi_extra=request_body(json_body(MergeBody)),
)
async def merge(request: Request, found: Found, limit: Limit, wait: WaitFor = Wait.VISIBLE) -> MergeAnswer:
    """The visits of both are joined as if they had been seen as one from the start. A request that was cut short may be
    repeated; for about a minute after it is done it gets the same answer, then UNKNOWN_FACE."""
    content_type(request, [JSON])
    body = await read_json(request, MergeBody)
    into, gone = await _named("into", body.into, found), await _named("from", body.gone, found)
    done = await found.merger.merge(into, gone, limit)
    receipt = await found.erasures.receipt(gone.home, done.gone_version, wait, limit)
    visible = await found.reviser.is_visible(into.home, Revised(done.record, done.version), wait, limit)
    return MergeAnswer.of_merge(body.into, body.gone, done, receipt, visible=visible)


async def _named(field: str, name: FaceName, found: Services) -> Named:
    store = await found.view.store(check_name(f"{field}.store", name.store))
    return Named(field, store, check_name(f"{field}.face_id", name.face_id))


@router.get(
    "/stores/{store}/faces/{face_id}/templates",
    summary="How well a face's templates go together",
    responses=problems(401, 404, 422, 503),
)
async def list_templates(store: StoreName, face_id: FaceId, found: Found) -> TemplatesAnswer:
    home = await found.view.store(store)
    face = await found.ledger.face(home.store, check_name("face_id", face_id))
    if face is None:
        raise unknown_face(store, face_id)
    return TemplatesAnswer.of(store, face_id, face)


@router.post(
    "/stores/{store}/faces/{face_id}/split",
    summary="Make some of a face's templates a face of their own",
    status_code=201,
    responses=problems(400, 401, 404, 409, 413, 415, 422, 503, 504),
    openapi_extra=request_body(json_body(SplitBody)),
)
async def split(
    store: StoreName, face_id: FaceId, request: Request, found: Found, limit: Limit, wait: WaitFor = Wait.VISIBLE
) -> SplitAnswer:
    """The templates named become a new visitor of the store. Visits stay with the face that they were counted for."""
    home = await found.view.store(store)
    named = Named("face_id", home, check_name("face_id", face_id))
    content_type(request, [JSON])
    body = await read_json(request, SplitBody)
    limit.waive()
    done = await found.merger.split(named, body.templates, body.updated)
    visible = await found.reviser.is_visible(home, Revised(done.record, done.version), wait, limit)
    return SplitAnswer.of(store, face_id, done, visible=visible)
