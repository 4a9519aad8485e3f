"""`/v1/verify` (1:1): are these two the same person?"""

from __future__ import annotations

from fastapi import APIRouter, Request

from common.errors import InvalidRequest
from common.limits import check_name
from common.types import DLIB_SPACE, SPACE_DIMENSION, Vectors
from common.vectors import distance
from gateway.body import JSON, MULTIPART, as_rows, content_type, read_json, read_upload
from gateway.enrol import unknown_face
from gateway.photos import one_face_each, stack
from gateway.routes.docs import json_body, multipart, problems, request_body
from gateway.schemas.requests import VerifyBody
from gateway.schemas.search import VerifyAnswer
from gateway.services import Found, Limit, Services
from gateway.threshold import score_at_fmr

router = APIRouter(prefix="/v1", tags=["search"])


@router.post(
    "/verify",
    summary="Verify: are these two the same person?",
    responses=problems(400, 401, 404, 413, 415, 422, 503, 504),
    openapi_extra=request_body(
        multipart(
            {
                "store": {"type": "string"},
                "face_id": {"type": "string", "description": "with one photo: compare to it"},
            },
            photos=2,
            example={"store": "vienna-1", "face_id": "ada"},
        ),
        json_body(VerifyBody),
    ),
)
async def verify(request: Request, found: Found, _: Limit) -> VerifyAnswer:
    """Two photos (or embeddings), or one and a stored face."""
    space = DLIB_SPACE
    if content_type(request, [MULTIPART, JSON]) == MULTIPART:
        upload = await read_upload(request, frozenset({"store", "face_id"}), photos=(1, 2))
        store, face_id = upload.fields.get("store"), upload.fields.get("face_id")
        _check_sides(len(upload.photos), store, face_id)
        stored = await _stored(found, store, face_id)
        rows = stack(await one_face_each(found.encoder, upload.photos))
    else:
        body = await read_json(request, VerifyBody)
        _check_sides(len(body.embeddings), body.store, body.face_id)
        rows = as_rows(body.embeddings, SPACE_DIMENSION[space])
        stored = await _stored(found, body.store, body.face_id)
    score = float(rows[0] @ (rows[1] if stored is None else stored))
    fmr = found.settings.verify_fmr
    cut = score_at_fmr(space, fmr)
    return VerifyAnswer(score=score, distance=distance(score), threshold=cut, fmr=fmr, match=score >= cut)


def _check_sides(sent: int, store: str | None, face_id: str | None) -> None:
    named = store is not None and face_id is not None
    if (store is None) != (face_id is None):
        raise InvalidRequest("store and face_id belong together.", field="face_id" if face_id is None else "store")
    if sent + named != 2:
        raise InvalidRequest(
            "Send two photos or embeddings, or one with store and face_id.", field="image", limit=1 if named else 2
        )


async def _stored(found: Services, store: str | None, face_id: str | None) -> Vectors | None:
    """The gallery row of the stored face, (d,); None if none was named."""
    if store is None or face_id is None:
        return None
    home = await found.view.store(check_name("store", store))
    face = await found.ledger.face(home.store, check_name("face_id", face_id))
    if face is None:
        raise unknown_face(store, face_id)
    return face.record.row
