"""`/v1/stores/{store}/search`: who is this?"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from fastapi import APIRouter, Request, Response

from common.cluster_map import StoreConfig
from common.direct import PlainRoute
from common.errors import InvalidRequest, PartialCoverage
from common.limits import MAX_EMBEDDINGS, MAX_PHOTOS
from common.members import MemberCard
from common.types import Vectors
from gateway.answer import packed, result_of
from gateway.body import (
    JSON,
    MULTIPART,
    RAW,
    Photo,
    as_rows,
    content_type,
    read_json,
    read_options,
    read_raw,
    read_upload,
)
from gateway.deadline import Deadline
from gateway.identify import Timing
from gateway.photos import encode, one_face_each, require_face, stack
from gateway.quality import Purpose, reasons
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
from gateway.schemas.requests import BatchOptions, SearchBody, SearchOptions
from gateway.schemas.search import SearchAnswer, Seen
from gateway.services import Services, services_of
from gateway.spaces import Space
from gateway.track import check_one_person
from gateway.verdict import Asked, Identified

router = APIRouter(tags=["search"], route_class=PlainRoute)


class Probes(NamedTuple):
    embeddings: Vectors
    seen: Sequence[Seen | None]
    """where each came from; None: sent as an embedding, or the mean of several photos"""
    photos: int = 1
    """behind each"""


@router.post(
    "/v1/stores/{store}/search",
    summary="Identify: who is in this photo?",
    response_model=SearchAnswer,
    responses=problems(400, 401, 404, 413, 415, 422, 503, 504),
    openapi_extra=request_body(multipart({}, photos=MAX_PHOTOS, example={}), json_body(SearchBody), raw_body())
    | parameters(STORE, *query_parameters(SearchOptions)),
)
async def search(request: Request) -> Response:
    """A photo: every face in it is searched. Several photos: they show one person, who is searched for once."""
    started = time.perf_counter()
    found, store = services_of(request), request.path_params["store"]
    options = read_options(request, SearchOptions)
    async with Deadline(found.settings.deadline_s) as limit:
        home = await found.view.store(store)
        probes = await _probes(request, found, home, options.photos)
        encoded = time.perf_counter()
        answer = await found.identifier.identify(home, probes.embeddings, asked_by(options, probes.photos), limit)
        check_coverage(answer.results, options)
        cards = await cards_of(found, answer.results)
    return json_of(
        {
            "store": store,
            "scope": options.scope,
            "truth": found.view.truth_state,
            "view_age_s": round(found.view.age_s, 3),
            "results": [
                result_of(result, home, seen, cards) for result, seen in zip(answer.results, probes.seen, strict=True)
            ],
            "timing": timing_of(started, encoded, answer.timing),
        }
    )


def asked_by(options: BatchOptions, photos: int) -> Asked:
    min_version = options.min_version if isinstance(options, SearchOptions) else None
    return Asked(options.top_k, options.scope, options.exact, options.threshold, min_version, photos)


def check_coverage(results: Sequence[Identified], options: BatchOptions) -> None:
    if options.allow_partial:
        return
    for result in results:
        if not result.coverage.full:
            raise PartialCoverage(
                f"Stores {', '.join(result.coverage.missing)} could not be searched.",
                field="allow_partial",
                coverage=result.coverage.report(),
            )


async def cards_of(found: Services, results: Sequence[Identified]) -> dict[str, MemberCard]:
    members = {result.member_id for result in results if result.member_id is not None}
    return await found.members.cards(members) if members else {}


async def _probes(request: Request, found: Services, home: StoreConfig, photos: int) -> Probes:
    space = found.spaces.of_store(home)
    match content_type(request, [MULTIPART, JSON, RAW]):
        case "multipart/form-data":
            if photos != 1:
                raise InvalidRequest(
                    "photos goes with embeddings; photos themselves are counted.", field="photos", limit=1
                )
            return await _of_photos(
                (await read_upload(request, frozenset(), photos=(1, MAX_PHOTOS))).photos, found, space
            )
        case "application/json":
            body = await read_json(request, SearchBody, MAX_EMBEDDINGS * space.dimension)
            rows = as_rows(body.embeddings, space.dimension)
        case _:
            rows = await read_raw(request, space.dimension)
    return Probes(rows, [None] * len(rows), photos)


async def _of_photos(photos: Sequence[Photo], found: Services, space: Space) -> Probes:
    """Everybody in a photo, or the one person whom several show. Raises NoFace, MultipleFaces, MixedTrack."""
    if len(photos) == 1:
        encoded = await encode(found.encoder, photos[0], space.name)
        require_face(photos[0], encoded)
        seen = [Seen(face, reasons(face.quality, Purpose.SIGHT, found.settings)) for face in encoded.faces]
        return Probes(stack(encoded.faces), seen)
    rows = stack(await one_face_each(found.encoder, photos, space.name))
    return Probes(check_one_person(rows, space.least_alike, "image")[None], [None], len(rows))


def json_of(answer: dict[str, Any]) -> Response:
    return Response(packed(answer), media_type=JSON)


def timing_of(started: float, encoded: float, timing: Timing) -> dict[str, float]:
    return {
        "encode_ms": _ms(encoded - started),
        "home_ms": _ms(timing.home_s),
        "fan_out_ms": _ms(timing.fan_out_s),
        "total_ms": _ms(time.perf_counter() - started),
    }


def _ms(seconds: float) -> float:
    """Whole microseconds, in a quarter of the time that `round` takes."""
    return int(1e6 * seconds) / 1000
