"""`/v1/stores/{store}/sightings`: what a camera saw, counted."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from common.cluster_map import StoreConfig
from common.direct import PlainRoute
from common.errors import InvalidRequest
from common.intervals import DAY_MS
from common.limits import MAX_AHEAD_S, MAX_EMBEDDINGS, MAX_PHOTOS, check_name
from gateway.answer import Json, packed
from gateway.body import (
    JSON,
    MULTIPART,
    RAW,
    as_rows,
    content_type,
    misfit,
    read_json,
    read_options,
    read_raw,
    read_upload,
)
from gateway.deadline import Deadline
from gateway.look import Sighting
from gateway.pictures import Picture, of_photos, of_rows
from gateway.routes.docs import (
    STORE,
    json_body,
    multipart,
    parameters,
    problems,
    query_parameters,
    raw_body,
    request_body,
)
from gateway.schemas.requests import NAME_SCHEMA
from gateway.schemas.sightings import AT, CAMERA, TRACK, SightingAnswer, SightingBody, SightingFields
from gateway.services import Services, services_of
from gateway.sighted import rejected_of, sighted_of, time_of

router = APIRouter(prefix="/v1/stores/{store}/sightings", tags=["footfall"], route_class=PlainRoute)

FORM_FIELDS: dict[str, Any] = {
    "at": {"type": "string", "format": "date-time", "description": AT},
    "camera": {"type": "string", "description": CAMERA} | NAME_SCHEMA,
    "track": {"type": "string", "description": TRACK} | NAME_SCHEMA,
}
FORM_EXAMPLE = {"at": "2026-11-20T09:00:00+01:00", "camera": "door"}


@router.post(
    "",
    summary="Count who was seen",
    response_model=SightingAnswer,
    responses=problems(400, 401, 404, 413, 415, 422, 503, 504),
    openapi_extra=request_body(
        multipart(FORM_FIELDS, photos=MAX_PHOTOS, example=FORM_EXAMPLE), json_body(SightingBody), raw_body()
    )
    | parameters(STORE, *query_parameters(SightingFields)),
)
async def post_sighting(request: Request) -> Response:
    """Photos or embeddings of one moment, or with `track` of one person. Everyone in them is identified, enrolled if
    nobody knows them, and counted as a visit. May be repeated and come in any order: the figures stay the same."""
    found, store = services_of(request), request.path_params["store"]
    options = read_options(request, SightingFields)
    async with Deadline(found.settings.deadline_s) as limit:
        home = await found.view.store(store)
        fields, at_ms, pictures = await _read(request, found, home, options)
        faces = [
            face
            for picture in pictures
            for face in await _count(found, Sighting(home, at_ms, picture.photos), picture, fields, limit)
        ]
    answer = {
        "store": store,
        "at": time_of(at_ms),
        "camera": fields.camera,
        "track": fields.track,
        "truth": found.view.truth_state,
        "faces": faces,
    }
    return Response(packed(answer), media_type=JSON)


async def _read(
    request: Request, found: Services, home: StoreConfig, options: SightingFields
) -> tuple[SightingFields, int, list[Picture]]:
    """The fields, the time in ms, and the faces. Times and names are checked before any photo is looked at."""
    media_type = content_type(request, [MULTIPART, JSON, RAW])
    if media_type != RAW and options.model_fields_set:
        name = min(options.model_fields_set)
        raise InvalidRequest(f"{name} goes into the body here.", field=name, limit=RAW)
    space = found.spaces.of_store(home)
    match media_type:
        case "multipart/form-data":
            upload = await read_upload(request, frozenset(FORM_FIELDS), photos=(1, MAX_PHOTOS))
            fields, at_ms = _checked(_from_form(upload.fields), found)
            track = fields.track is not None
            return fields, at_ms, await of_photos(found, upload.photos, space, track=track)
        case "application/json":
            body = await read_json(request, SightingBody, MAX_EMBEDDINGS * space.dimension)
            fields, at_ms = _checked(SightingFields(at=body.at, camera=body.camera, track=body.track), found)
            rows = as_rows(body.embeddings, space.dimension)
        case _:
            fields, at_ms = _checked(options, found)
            rows = await read_raw(request, space.dimension)
    return fields, at_ms, [of_rows(rows, space, track=fields.track is not None)]


def _from_form(fields: dict[str, str]) -> SightingFields:
    try:
        return SightingFields.model_validate(fields)
    except ValidationError as error:
        raise misfit("body", error) from error


def _checked(fields: SightingFields, found: Services) -> tuple[SightingFields, int]:
    """The fields and the time in ms. Raises InvalidRequest."""
    for name, value in (("camera", fields.camera), ("track", fields.track)):
        if value is not None:
            check_name(name, value)
    now_ms = int(time.time() * 1000)
    if fields.at is None:
        return fields, now_ms
    at_ms = round(fields.at.timestamp() * 1000)
    if at_ms > now_ms + 1000 * MAX_AHEAD_S:
        raise InvalidRequest(f"at is more than {MAX_AHEAD_S} s ahead.", field="at", limit=MAX_AHEAD_S)
    days = found.settings.visit_days
    if at_ms < now_ms - days * DAY_MS:
        raise InvalidRequest(f"at is more than {days} days ago; visits are kept no longer.", field="at", limit=days)
    return fields, at_ms


async def _count(
    found: Services, sighting: Sighting, picture: Picture, fields: SightingFields, limit: Deadline
) -> list[Json]:
    answers: list[Json] = []
    if len(picture.probes):
        sighted = await found.sighter.sight(sighting, picture.probes, limit)
        answers = [sighted_of(one, place) for one, place in zip(sighted, picture.places, strict=True)]
    for rejected in picture.rejected:
        place = rejected.place
        mark = f"{fields.camera or ''}/{fields.track or place.photo}/{sighting.at_ms}/{rejected.mark}"
        await found.visits.rejected(sighting.store, sighting.at_ms, rejected.reasons, mark)
        answers.append(rejected_of(rejected.reasons, place))
    return answers
