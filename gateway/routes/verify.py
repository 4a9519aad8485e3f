"""`/v1/verify` (1:1): are these two the same person?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from fastapi import APIRouter, Request
from pydantic import ValidationError

from common.errors import InvalidRequest, UnknownFace, WrongSpace
from common.limits import check_name
from common.records import FaceRecord
from common.types import DLIB_SPACE
from gateway.body import JSON, MULTIPART, as_rows, content_type, misfit, read_json, read_upload
from gateway.enrol import unknown_face
from gateway.photos import one_face_each, stack
from gateway.routes.docs import json_body, multipart, problems, request_body
from gateway.schemas.requests import NAME_SCHEMA
from gateway.schemas.verify import VerifyAnswer, VerifyBody, VerifyOptions
from gateway.services import Found, Limit, Services
from gateway.spaces import Space
from gateway.verification import compare

router = APIRouter(prefix="/v1", tags=["search"])

FORM_FIELDS: dict[str, Any] = {
    "store": {"type": "string"} | NAME_SCHEMA,
    "face_id": {"type": "string", "description": "with one photo: compare to it"} | NAME_SCHEMA,
    "fmr": {"type": "number", "description": "accepted chance that two different people match"},
    "space": {"type": "string", "description": "embedding space of two photos; left out: dlib's"} | NAME_SCHEMA,
}
FORM_EXAMPLE = {"store": "vienna-1", "face_id": "ada", "fmr": 0.0001}


class Sides(NamedTuple):
    space: Space
    stored: FaceRecord | None
    """None: both sides were sent"""


@router.post(
    "/verify",
    summary="Verify: are these two the same person?",
    responses=problems(400, 401, 404, 413, 415, 422, 503, 504),
    openapi_extra=request_body(multipart(FORM_FIELDS, photos=2, example=FORM_EXAMPLE), json_body(VerifyBody)),
)
async def verify(request: Request, found: Found, _: Limit) -> VerifyAnswer:
    """Two photos (or embeddings), or one and a stored face. Both sides are in one space, never compared across."""
    options: VerifyOptions
    if content_type(request, [MULTIPART, JSON]) == MULTIPART:
        upload = await read_upload(request, frozenset(FORM_FIELDS), photos=(1, 2))
        options = _from_form(upload.fields)
        sides = await _sides(found, options, len(upload.photos))
        rows = stack(await one_face_each(found.encoder, upload.photos, sides.space.name))
    else:
        options = body = await read_json(request, VerifyBody, 2 * found.spaces.widest)
        sides = await _sides(found, options, len(body.embeddings))
        rows = as_rows(body.embeddings, sides.space.dimension)
    other, photos = (rows[1], 1) if sides.stored is None else (sides.stored.row, sides.stored.photos_behind)
    fmr = found.settings.verify_fmr if options.fmr is None else options.fmr
    verified = compare(sides.space.curve, float(rows[0] @ other), fmr, photos)
    return VerifyAnswer.of(verified, sides.space.name, photos)


def _from_form(fields: dict[str, str]) -> VerifyOptions:
    try:
        return VerifyOptions.model_validate_strings(fields)
    except ValidationError as error:
        raise misfit("body", error) from error


async def _sides(found: Services, options: VerifyOptions, sent: int) -> Sides:
    """The space to compare in, and the stored face if one was named. Raises before any photo is looked at."""
    _check_count(options, sent)
    if options.store is None or options.face_id is None:
        name = DLIB_SPACE if options.space is None else check_name("space", options.space)
        return Sides(found.spaces.of(name), None)
    home = await found.view.store(check_name("store", options.store))
    face = await found.ledger.face(home.store, check_name("face_id", options.face_id))
    if face is None:
        raise unknown_face(home.store, options.face_id)
    record = face.record
    if not record.templates:
        raise UnknownFace(
            f"Store {home.store} has no template of face {options.face_id}: enrol it again.", field="face_id"
        )
    if options.space not in {None, record.space}:
        raise WrongSpace(f"Store {home.store} is in space {record.space}.", field="space", limit=record.space)
    # The record's own: the store may have been migrated since this gateway last looked at the map.
    return Sides(found.spaces.of_store(replace(home, space=record.space, dimension=len(record.row))), record)


def _check_count(options: VerifyOptions, sent: int) -> None:
    named = options.store is not None and options.face_id is not None
    if (options.store is None) != (options.face_id is None):
        missing = "face_id" if options.face_id is None else "store"
        raise InvalidRequest("store and face_id belong together.", field=missing)
    if sent + named != 2:
        raise InvalidRequest(
            "Send two photos or embeddings, or one with store and face_id.", field="image", limit=1 if named else 2
        )
