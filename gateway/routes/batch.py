"""`/v1/search:batch`: many probes of many stores in one request."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from fastapi import APIRouter, Request, Response

from common.cluster_map import StoreConfig
from common.direct import PlainRoute
from common.errors import InvalidRequest
from common.limits import MAX_BATCH, check_name
from common.types import Vectors
from gateway.answer import batch_of
from gateway.body import JSON, RAW, as_rows, content_type, read_json, read_options, read_raw
from gateway.deadline import Deadline
from gateway.identify import Asking
from gateway.routes.docs import json_body, parameters, problems, query_parameters, raw_body, request_body
from gateway.routes.search import asked_by, cards_of, check_coverage, json_of, timing_of
from gateway.schemas.requests import BatchBody, RawBatchOptions
from gateway.schemas.search import BatchAnswer
from gateway.services import Services, services_of

router = APIRouter(tags=["search"], route_class=PlainRoute)


@router.post(
    "/v1/search:batch",
    summary="Identify many faces of many stores",
    response_model=BatchAnswer,
    responses=problems(400, 401, 404, 413, 415, 422, 503, 504),
    openapi_extra=request_body(json_body(BatchBody), raw_body()) | parameters(*query_parameters(RawBatchOptions)),
)
async def search_batch(request: Request) -> Response:
    """Each probe is searched for as by itself, at its own store first; together they cost far less. The stores must
    have one embedding space."""
    started = time.perf_counter()
    found = services_of(request)
    options = read_options(request, RawBatchOptions)
    async with Deadline(found.settings.deadline_s) as limit:
        homes, rows = await _batch(request, found, options)
        encoded = time.perf_counter()
        askings, places = _by_home(homes, rows)
        answers, timing = await found.identifier.identify_each(askings, asked_by(options, options.photos), limit)
        results = [(homes[at], answers[one][nth]) for at, (one, nth) in enumerate(places)]
        identified = [result for _, result in results]
        check_coverage(identified, options)
        answered, coverages = batch_of(results, await cards_of(found, identified))
    return json_of(
        {
            "scope": options.scope,
            "truth": found.view.truth_state,
            "view_age_s": round(found.view.age_s, 3),
            "results": answered,
            "coverages": coverages,
            "timing": timing_of(started, encoded, timing),
        }
    )


async def _batch(request: Request, found: Services, options: RawBatchOptions) -> tuple[list[StoreConfig], Vectors]:
    """The home store of each probe, and the probes. Raises before anything is searched."""
    if content_type(request, [JSON, RAW]) == JSON:
        if options.stores is not None:
            raise InvalidRequest("stores goes into the body here.", field="stores", limit=RAW)
        body = await read_json(request, BatchBody, MAX_BATCH * found.spaces.widest)
        homes = await _homes([check_name("store", one.store) for one in body.searches], found)
        return homes, as_rows([one.embedding for one in body.searches], homes[0].dimension, "searches")
    if not options.stores:
        raise InvalidRequest("Name the home stores of the probes in stores.", field="stores")
    homes = await _homes([check_name("stores", name) for name in options.stores.split(",")], found)
    rows = await read_raw(request, homes[0].dimension, MAX_BATCH)
    if len(homes) not in {1, len(rows)}:
        raise InvalidRequest(
            f"stores names {len(homes)} stores for {len(rows)} probes; name one, or one a probe.",
            field="stores",
            limit=len(rows),
        )
    return homes * (len(rows) // len(homes)), rows


async def _homes(names: Sequence[str], found: Services) -> list[StoreConfig]:
    known = {name: await found.view.store(name) for name in dict.fromkeys(names)}
    spaces = sorted({home.space for home in known.values()})
    if len(spaces) > 1:
        raise InvalidRequest(f"The stores are in spaces {', '.join(spaces)}; send a batch for each.", field="stores")
    return [known[name] for name in names]


def _by_home(homes: Sequence[StoreConfig], rows: Vectors) -> tuple[list[Asking], list[tuple[int, int]]]:
    """The probes of each store together, and where each probe of the batch is then: (store, probe of it)."""
    of_home: dict[str, list[int]] = {}
    for at, home in enumerate(homes):
        of_home.setdefault(home.store, []).append(at)
    places = [(0, 0)] * len(homes)
    for one, ats in enumerate(of_home.values()):
        for nth, at in enumerate(ats):
            places[at] = (one, nth)
    return [Asking(homes[ats[0]], np.ascontiguousarray(rows[ats])) for ats in of_home.values()], places
