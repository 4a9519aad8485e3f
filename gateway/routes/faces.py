"""`/v1/stores/{store}/faces`: enrol, list, look at and erase faces."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import TypeAdapter, ValidationError

from common.cluster_map import StoreConfig
from common.errors import InvalidRequest, UnknownFace
from common.limits import MAX_PAGE, MAX_PHOTOS, MAX_TEMPLATES, check_labels, check_name
from common.types import Kind, Wait
from gateway.body import JSON, MULTIPART, RAW, as_rows, content_type, read_json, read_raw, read_upload
from gateway.encoder import EncodedFace
from gateway.enrol import Enrolment, unknown_face
from gateway.photos import one_face_each, stack
from gateway.revise import relabelled
from gateway.routes.docs import (
    FaceId,
    StoreName,
    WaitFor,
    jpeg,
    json_body,
    multipart,
    problems,
    raw_body,
    request_body,
    succeeds,
)
from gateway.schemas.enrol import EnrolAnswer, PhotoAnswer
from gateway.schemas.faces import EraseAnswer, ErasureAnswer, FaceAnswer, FacesAnswer, RevisedAnswer
from gateway.schemas.requests import NAME_SCHEMA, EnrolBody, EnrolOptions, RevisionBody
from gateway.services import Found, Limit, Services

router = APIRouter(prefix="/v1/stores/{store}/faces", tags=["faces"])

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
    responses=succeeds(200, "The face was there and got templates", EnrolAnswer)
    | problems(400, 401, 404, 409, 413, 415, 422, 503, 504),
    openapi_extra=request_body(
        multipart(FORM_FIELDS, photos=MAX_PHOTOS, example=FORM_EXAMPLE), json_body(EnrolBody), raw_body()
    ),
)
async def enrol(
    store: StoreName,
    request: Request,
    response: Response,
    found: Found,
    limit: Limit,
    options: Annotated[EnrolOptions, Query()],
) -> EnrolAnswer:
    home = await found.view.store(store)
    media_type = content_type(request, [MULTIPART, JSON, RAW])
    for name, value in (("face_id", options.face_id), ("kind", options.kind)):
        if value is not None and media_type != RAW:
            raise InvalidRequest(f"{name} goes into the body here.", field=name, limit=RAW)
    photos: list[EncodedFace] = []
    match media_type:
        case "multipart/form-data":
            new, photos = await _from_photos(request, home, found)
        case "application/json":
            new = await _from_json(request, home)
        case _:
            rows = await read_raw(request, home.dimension, MAX_TEMPLATES)
            new = Enrolment(rows, _face_id(options.face_id), options.kind)
    done = await found.enroller.enrol(home, new, options.expected_version, options.wait, limit)
    response.status_code = 201 if done.created else 200
    face = FaceAnswer.of(done.written.face_id, done.record)
    return EnrolAnswer(
        **face.model_dump(),
        store=store,
        new=done.created,
        version=done.written.version,
        visible=done.written.visible,
        photos=[PhotoAnswer.of(photo, found.settings) for photo in photos],
    )


async def _from_photos(request: Request, home: StoreConfig, found: Services) -> tuple[Enrolment, list[EncodedFace]]:
    """What to enrol, and the face of each photo."""
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
    body = await read_json(request, EnrolBody)
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


@router.get("", summary="List faces", responses=problems(401, 404, 422, 503))
async def list_faces(
    store: StoreName,
    found: Found,
    cursor: Annotated[
        str, Query(pattern="^[0-9]{1,19}$", description="From the page before; left out: the start.")
    ] = "0",
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="About so many faces a page.")] = 100,
) -> FacesAnswer:
    """Every face that is there from the first page to the last appears; one that changes meanwhile may appear twice."""
    home = await found.view.store(store)
    following, page = await found.ledger.page(home.store, int(cursor), limit)
    faces = [FaceAnswer.of(face_id, record) for face_id, record in sorted(page.items())]
    return FacesAnswer(faces=faces, cursor=str(following) if following else None)


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
