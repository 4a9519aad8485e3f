"""`POST /v1/stores/{store}/faces`: enrol a face from photos or embeddings, or add templates to it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import TypeAdapter, ValidationError

from common.cluster_map import StoreConfig
from common.direct import PlainRoute
from common.errors import InvalidRequest
from common.limits import MAX_PHOTOS, MAX_TEMPLATES, check_labels, check_name
from common.types import Kind
from gateway.body import (
    JSON,
    MULTIPART,
    RAW,
    as_rows,
    content_type,
    read_json,
    read_options,
    read_raw,
    read_upload,
)
from gateway.deadline import Deadline
from gateway.encoder import EncodedFace
from gateway.enrol import Enrolment
from gateway.photos import one_face_each, stack
from gateway.routes.docs import (
    STORE,
    json_body,
    multipart,
    parameters,
    problems,
    query_parameters,
    raw_body,
    request_body,
    succeeds,
)
from gateway.schemas.enrol import EnrolAnswer, PhotoAnswer
from gateway.schemas.faces import FaceAnswer
from gateway.schemas.requests import NAME_SCHEMA, EnrolBody, EnrolOptions
from gateway.services import Services, services_of

router = APIRouter(prefix="/v1/stores/{store}/faces", tags=["faces"], route_class=PlainRoute)

FORM_FIELDS: dict[str, Any] = {
    "face_id": {"type": "string", "description": "left out: one is made up"} | NAME_SCHEMA,
    "kind": {"type": "string", "enum": [kind.value for kind in Kind]},
    "labels": {"type": "string", "description": "a JSON object of strings"},
    "keep_thumbnail": {"type": "boolean", "description": "keep a small picture of the face, for people to look at"},
    "accept_poor": {"type": "boolean", "description": "enrol also what POOR_QUALITY would refuse"},
}
FORM_EXAMPLE = {"face_id": "ada", "kind": "member", "labels": '{"door": "north"}'}


@router.post(
    "",
    summary="Enrol a face, or add templates to it",
    status_code=201,
    response_model=EnrolAnswer,
    responses=succeeds(200, "The face was there and got templates", EnrolAnswer)
    | problems(400, 401, 404, 409, 413, 415, 422, 503, 504),
    openapi_extra=request_body(
        multipart(FORM_FIELDS, photos=MAX_PHOTOS, example=FORM_EXAMPLE), json_body(EnrolBody), raw_body()
    )
    | parameters(STORE, *query_parameters(EnrolOptions)),
)
async def enrol(request: Request) -> Response:
    found, store = services_of(request), request.path_params["store"]
    options = read_options(request, EnrolOptions)
    async with Deadline(found.settings.deadline_s) as limit:
        home = await found.view.store(store)
        new, photos = await _read(request, found, home, options)
        done = await found.enroller.enrol(home, new, options.expected_version, options.wait, limit)
    face = FaceAnswer.of(done.written.face_id, done.record)
    answer = EnrolAnswer(
        **face.model_dump(),
        store=store,
        new=done.created,
        version=done.written.version,
        visible=done.written.visible,
        photos=[PhotoAnswer.of(photo, found.settings) for photo in photos],
    )
    return Response(answer.model_dump_json(), 201 if done.created else 200, media_type=JSON)


async def _read(
    request: Request, found: Services, home: StoreConfig, options: EnrolOptions
) -> tuple[Enrolment, list[EncodedFace]]:
    """What to enrol, and the face of each photo."""
    media_type = content_type(request, [MULTIPART, JSON, RAW])
    for name, value in (("face_id", options.face_id), ("kind", options.kind)):
        if value is not None and media_type != RAW:
            raise InvalidRequest(f"{name} goes into the body here.", field=name, limit=RAW)
    match media_type:
        case "multipart/form-data":
            return await _from_photos(request, home, found)
        case "application/json":
            return await _from_json(request, home), []
        case _:
            rows = await read_raw(request, home.dimension, MAX_TEMPLATES)
            return Enrolment(rows, _face_id(options.face_id), options.kind), []


async def _from_photos(request: Request, home: StoreConfig, found: Services) -> tuple[Enrolment, list[EncodedFace]]:
    space = found.spaces.of_store(home)
    upload = await read_upload(request, frozenset(FORM_FIELDS), photos=(1, MAX_PHOTOS))
    keep = _parsed("keep_thumbnail", upload.fields.get("keep_thumbnail"), bool)
    face_id = _face_id(upload.fields.get("face_id"))
    kind = _parsed("kind", upload.fields.get("kind"), Kind)
    labels = _labels(upload.fields.get("labels"))
    poor_too = _parsed("accept_poor", upload.fields.get("accept_poor"), bool)
    gate = None if poor_too else found.settings
    faces = await one_face_each(found.encoder, upload.photos, space.name, thumbnails=bool(keep), gate=gate)
    return Enrolment(stack(faces), face_id, kind, labels, faces[0].thumbnail), faces


async def _from_json(request: Request, home: StoreConfig) -> Enrolment:
    body = await read_json(request, EnrolBody, MAX_TEMPLATES * home.dimension)
    labels = None if body.labels is None else check_labels(body.labels)
    return Enrolment(as_rows(body.embeddings, home.dimension), _face_id(body.face_id), body.kind, labels)


def _face_id(value: str | None) -> str | None:
    return None if value is None else check_name("face_id", value)


def _labels(text: str | None) -> dict[str, str] | None:
    if text is None:
        return None
    try:
        return check_labels(TypeAdapter(dict[str, str]).validate_json(text, strict=True))
    except ValidationError as error:
        raise InvalidRequest("labels must be a JSON object of strings.", field="labels") from error


def _parsed(field: str, text: str | None, kind: type[Any]) -> Any:
    if text is None:
        return None
    try:
        return TypeAdapter(kind).validate_python(text)
    except ValidationError as error:
        raise InvalidRequest(f"{field}: {error.errors()[0]['msg']}.", field=field) from error
