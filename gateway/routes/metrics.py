"""`/metrics`, for Prometheus."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from gateway.metrics import CONTENT_TYPE, exposition
from gateway.routes.docs import problems
from gateway.schemas.examples import METRICS
from gateway.services import Found

router = APIRouter(tags=["health"])
TEXT: dict[int | str, dict[str, Any]] = {
    200: {"description": "Prometheus's text format", "content": {"text/plain": {"schema": {"type": "string"}}}}
}
TEXT[200]["content"]["text/plain"]["example"] = METRICS


@router.get("/metrics", summary="Metrics", response_class=Response, responses=TEXT | problems(401))
async def metrics(found: Found) -> Response:
    return Response(
        exposition(found.view, found.leader, found.resolver.waiting), headers={"Content-Type": CONTENT_TYPE}
    )
