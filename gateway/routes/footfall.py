"""`/v1/footfall`: who came, how often, and for how long."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Query, Response

from common.limits import check_name
from gateway.footfall.report import Asked
from gateway.routes.docs import Responses, problems
from gateway.schemas.footfall import CSV, CSV_EXAMPLE, FootfallAnswer, FootfallOptions, Format, as_csv
from gateway.services import Found, Limit

router = APIRouter(prefix="/v1/footfall", tags=["footfall"])

TABLE: Responses = {200: {"content": {CSV: {"schema": {"type": "string"}, "example": CSV_EXAMPLE}}}}


@router.get(
    "",
    summary="Visits, visitors and dwell of a store, or of the stores of a group",
    response_model=FootfallAnswer,
    responses=TABLE | problems(401, 404, 422, 503, 504),
)
async def get_footfall(
    found: Found,
    _: Limit,
    options: Annotated[FootfallOptions, Query()],
) -> FootfallAnswer | Response:
    """PV are visits, UV different persons; a visit counts where it starts. Without parameters of time: today until now.

    Exact as far back as visits are kept (FACEGRID_VISIT_DAYS); `exact` and `error` say where older days are in it.
    """
    for name, value in (("store", options.store), ("group", options.group)):
        if value is not None:
            check_name(name, value)
    asked = Asked(options.store, options.group, options.first, options.last, options.bucket, options.timezone)
    report = await found.reporter.report(asked, int(time.time() * 1000))
    if options.format is Format.CSV:
        return Response(as_csv(report), media_type=CSV)
    return FootfallAnswer.of(report)
