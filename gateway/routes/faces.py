"""`/v1/stores/{store}/faces`: list, look at, revise and erase faces."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from common.errors import UnknownFace
from common.limits import MAX_PAGE, check_labels, check_name
from common.scan import START
from common.types import Wait
from gateway.body import JSON, content_type, read_json
from gateway.enrol import unknown_face
from gateway.revise import relabelled
from gateway.routes.docs import (
    Cursor,
    FaceId,
    StoreName,
    WaitFor,
    jpeg,
    json_body,
    problems,
    request_body,
)
from gateway.schemas.faces import EraseAnswer, ErasureAnswer, FaceAnswer, FacesAnswer, RevisedAnswer
from gateway.schemas.requests import RevisionBody
from gateway.services import Found, Limit

router = APIRouter(prefix="/v1/stores/{store}/faces", tags=["faces"])


@router.get("", summary="List faces", responses=problems(401, 404, 422, 503))
async def list_faces(
    store: StoreName,
    found: Found,
    cursor: Cursor = START,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="About so many faces a page.")] = 100,
) -> FacesAnswer:
    """Every face that is there from the first page to the last appears; one may appear twice, as where it changes
    or Redis is started again in between."""
    home = await found.view.store(store)
    following, page = await found.ledger.page(home.store, cursor, limit)
    faces = [FaceAnswer.of(face_id, record) for face_id, record in sorted(page.items())]
    return FacesAnswer(faces=faces, cursor=following)


@router.get("/{face_id}", summary="One face", responses=problems(401, 404, 422, 503))
async def get_face(store: StoreName, face_id: FaceId, found: Found) -> FaceAnswer:
    home = await found.view.store(store)
    face = await found.ledger.face(home.store, check_name("face_id", face_id))
    if face is None:
        raise unknown_face(store, face_id)
    return FaceAnswer.of(face_id, face.record)


@router.get(
    "/{face_id}/thumbnail",
    summary="The face's picture, where it was kept",
    response_class=Response,
    responses=jpeg() | problems(401, 404, 422, 503),
)
async def get_thumbnail(store: StoreName, face_id: FaceId, found: Found) -> Response:
    home = await found.view.store(store)
    jpeg = await found.ledger.thumbnail(home.store, check_name("face_id", face_id))
    if jpeg is None:
        raise UnknownFace(f"Store {store} keeps no thumbnail of face {face_id}.", field="face_id")
    return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": "no-store"})


@router.patch(
    "/{face_id}",
    summary="Change a face's kind or labels",
    responses=problems(400, 401, 404, 409, 413, 415, 422, 503, 504),
    openapi_extra=request_body(json_body(RevisionBody)),
)
async def revise(
    store: StoreName, face_id: FaceId, request: Request, found: Found, limit: Limit, wait: WaitFor = Wait.VISIBLE
) -> RevisedAnswer:
    """Templates and picture stay. A face bound to a member is a visitor's again once it is unbound, not before."""
    home = await found.view.store(store)
    content_type(request, [JSON])
    body = await read_json(request, RevisionBody)
    labels = None if body.labels is None else check_labels(body.labels)
    done = await found.reviser.revise(home, check_name("face_id", face_id), relabelled(body.kind, labels), limit)
    visible = await found.reviser.is_visible(home, done, wait, limit)
    return RevisedAnswer.revised(store, face_id, done, visible=visible)


@router.delete("/{face_id}", summary="Erase a face", responses=problems(401, 404, 422, 503, 504))
async def erase(
    store: StoreName, face_id: FaceId, found: Found, limit: Limit, wait: WaitFor = Wait.VISIBLE
) -> EraseAnswer:
    """Answers with a receipt: the face is erased in Redis; `confirmed` replicas have dropped it from their memory."""
    home = await found.view.store(store)
    known = await found.rekeying.known(store, [check_name("face_id", face_id)])
    version = await found.enroller.erase(home, face_id, limit)
    receipt, _ = await asyncio.gather(
        found.erasures.receipt(home, version, wait, limit), found.rekeying.at_once(store, known, limit)
    )
    answer = ErasureAnswer.of(receipt)
    return EraseAnswer(**answer.model_dump(), face_id=face_id, deleted=True, visible=receipt.visible)
