"""`/v1/stores/{store}/search` and `/recognize`: who is this?"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import APIRouter, Query, Request

from common.cluster_map import StoreConfig
from common.errors import Inconclusive, PartialCoverage, StoreRequired
from common.limits import check_name
from common.types import SPACE_DIMENSION, Scope, Vectors, Verdict
from gateway.body import JSON, MULTIPART, RAW, as_rows, content_type, read_json, read_raw, read_upload
from gateway.encoder import EncodedFace
from gateway.identify import Asked, Identified
from gateway.photos import encode, one_face_each, require_face, stack
from gateway.routes.docs import StoreName, json_body, multipart, problems, raw_body, request_body
from gateway.schemas.requests import SearchBody, SearchOptions
from gateway.schemas.search import RecognizeAnswer, ResultAnswer, SearchAnswer, TimingAnswer
from gateway.services import Found, Limit, Services

router = APIRouter(tags=["search"])


@dataclass(frozen=True, slots=True)
class Probes:
    embeddings: Vectors
    faces: Sequence[EncodedFace | None]
    """where each came from; None: sent as an embedding"""


@router.post(
    "/v1/stores/{store}/search",
    summary="Identify: who is in this photo?",
    responses=problems(400, 401, 404, 413, 415, 422, 503, 504),
    openapi_extra=request_body(multipart({}, photos=1, example={}), json_body(SearchBody), raw_body()),
)
async def search(
    store: StoreName,
    request: Request,
    found: Found,
    limit: Limit,
    options: Annotated[SearchOptions, Query()],
) -> SearchAnswer:
    started = time.perf_counter()
    home = await found.view.store(store)
    probes = await _probes(request, found, home)
    encoded = time.perf_counter()
    asked = Asked(options.top_k, options.scope, options.exact, options.threshold, options.min_version)
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
            ResultAnswer.of(result, home, face, cards)
            for result, face in zip(answer.results, probes.faces, strict=True)
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


async def _probes(request: Request, found: Services, home: StoreConfig) -> Probes:
    dimension = SPACE_DIMENSION[home.space]
    match content_type(request, [MULTIPART, JSON, RAW]):
        case "multipart/form-data":
            (photo,) = (await read_upload(request, frozenset(), photos=(1, 1))).photos
            encoded = await encode(found.encoder, photo)
            require_face(photo, encoded)
            return Probes(stack(encoded.faces), encoded.faces)
        case "application/json":
            rows = as_rows((await read_json(request, SearchBody)).embeddings, dimension)
        case _:
            rows = await read_raw(request, dimension)
    return Probes(rows, [None] * len(rows))


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
    probe = stack(await one_face_each(found.encoder, upload.photos))
    (result,) = (await found.identifier.identify(home, probe, Asked(top_k=1, scope=scope), limit)).results
    match result.verdict:
        case Verdict.MATCH:
            return RecognizeAnswer(result=result.candidates[0].face_id)
        case Verdict.NO_MATCH:
            return RecognizeAnswer(result=None)
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
    if len(groups) != 1:
        why = "there is no store yet" if not stores else f"there are {len(groups)} groups of stores"
        raise StoreRequired(f"Name a store in the form field store: {why}.", field="store")
    # No store asks, so no store's own threshold holds.
    return replace(stores[0][1], threshold=None), Scope.GROUP


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
