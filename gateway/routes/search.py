"""`/v1/stores/{store}/search` and `/recognize`: who is this?"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import APIRouter, Query, Request

from common.cluster_map import StoreConfig
from common.errors import Inconclusive, InvalidRequest, PartialCoverage, StoreRequired
from common.limits import MAX_PHOTOS, check_name
from common.types import Scope, Vectors, Verdict
from gateway.body import JSON, MULTIPART, RAW, Photo, as_rows, content_type, read_json, read_raw, read_upload
from gateway.photos import encode, one_face_each, require_face, stack
from gateway.quality import Purpose, reasons
from gateway.routes.docs import StoreName, json_body, multipart, problems, raw_body, request_body
from gateway.schemas.requests import SearchBody, SearchOptions
from gateway.schemas.search import RecognizeAnswer, ResultAnswer, SearchAnswer, Seen, TimingAnswer
from gateway.services import Found, Limit, Services
from gateway.spaces import Space
from gateway.track import check_one_person
from gateway.verdict import Asked, Identified, Why

router = APIRouter(tags=["search"])


@dataclass(frozen=True, slots=True)
class Probes:
    embeddings: Vectors
    seen: Sequence[Seen | None]
    """where each came from; None: sent as an embedding, or the mean of several photos"""
    photos: int = 1
    """behind each"""


@router.post(
    "/v1/stores/{store}/search",
    summary="Identify: who is in this photo?",
    responses=problems(400, 401, 404, 413, 415, 422, 503, 504),
    openapi_extra=request_body(multipart({}, photos=MAX_PHOTOS, example={}), json_body(SearchBody), raw_body()),
)
async def search(
    store: StoreName,
    request: Request,
    found: Found,
    limit: Limit,
    options: Annotated[SearchOptions, Query()],
) -> SearchAnswer:
    """A photo: every face in it is searched. Several photos: they show one person, who is searched for once."""
    started = time.perf_counter()
    home = await found.view.store(store)
    probes = await _probes(request, found, home, options.photos)
    encoded = time.perf_counter()
    asked = Asked(options.top_k, options.scope, options.exact, options.threshold, options.min_version, probes.photos)
    answer = await found.identifier.identify(home, probes.embeddings, asked, limit)
    if not options.allow_partial:
        _require_full(answer.results)
    cards = await found.members.cards(result.member_id for result in answer.results if result.member_id is not None)
    return SearchAnswer(
        store=store,
        scope=options.scope,
        truth=found.view.truth_state,
        view_age_s=round(found.view.age_s, 3),
        results=[
            ResultAnswer.of(result, home, seen, cards.get(result.member_id or ""))
            for result, seen in zip(answer.results, probes.seen, strict=True)
        ],
        timing=TimingAnswer(
            encode_ms=_ms(encoded - started),
            home_ms=round(answer.timing.home_ms, 3),
            fan_out_ms=round(answer.timing.fan_out_ms, 3),
            total_ms=_ms(time.perf_counter() - started),
        ),
    )


def _require_full(results: Sequence[Identified]) -> None:
    for result in results:
        if not result.coverage.full:
            raise PartialCoverage(
                f"Stores {', '.join(result.coverage.missing)} could not be searched.",
                field="allow_partial",
                coverage=result.coverage.report(),
            )


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
            rows = as_rows((await read_json(request, SearchBody)).embeddings, space.dimension)
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


@router.post(
    "/recognize",
    summary="The one-line question: whose face is this?",
    responses=problems(400, 401, 404, 413, 415, 422, 503, 504),
    openapi_extra=request_body(
        multipart(
            {"store": {"type": "string", "description": "home store; left out: every store at once"}},
            photos=1,
            example={"store": "vienna-1"},
        )
    ),
)
async def recognize(request: Request, found: Found, limit: Limit) -> RecognizeAnswer:
    """Answers like the classic single-process tutorial service. `null` is said only when every store was searched."""
    content_type(request, [MULTIPART])
    upload = await read_upload(request, frozenset({"store"}), photos=(1, 1))
    home, scope = await _where(upload.fields.get("store"), found)
    probe = stack(await one_face_each(found.encoder, upload.photos, found.spaces.of_store(home).name))
    (result,) = (await found.identifier.identify(home, probe, Asked(top_k=1, scope=scope), limit)).results
    match result.verdict:
        case Verdict.MATCH:
            return RecognizeAnswer(result=result.candidates[0].face_id)
        case Verdict.NO_MATCH:
            return RecognizeAnswer(result=None)
        case Verdict.INCONCLUSIVE if result.why is Why.AMBIGUOUS:
            raise Inconclusive("Two people match nearly alike.", coverage=result.coverage.report())
        case Verdict.INCONCLUSIVE:
            raise Inconclusive(
                f"Nobody matched, but stores {', '.join(result.coverage.missing)} could not be searched.",
                coverage=result.coverage.report(),
            )


async def _where(store: str | None, found: Services) -> tuple[StoreConfig, Scope]:
    """The store asked for, home first; else all stores at once, if they may see each other's visitors."""
    if store is not None:
        return await found.view.store(check_name("store", store)), Scope.AUTO
    stores = sorted((await found.view.known_stores()).items())
    groups = {config.group for _, config in stores}
    spaces = {config.space for _, config in stores}
    if len(groups) != 1 or len(spaces) != 1:
        kinds = f"{len(groups)} groups of stores" if len(groups) != 1 else f"stores in {len(spaces)} embedding spaces"
        why = f"there are {kinds}" if stores else "there is no store yet"
        raise StoreRequired(f"Name a store in the form field store: {why}.", field="store")
    # No store asks, so no store's own settings hold.
    return replace(stores[0][1], threshold=None, target_fpir=None, margin=None), Scope.GROUP


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
