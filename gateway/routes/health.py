"""Is this process alive (`/healthz`), and can it answer for every store (`/readyz`)?"""

from __future__ import annotations

from fastapi import APIRouter

from common.errors import Unavailable
from gateway.routes.docs import problems
from gateway.schemas.base import Health
from gateway.services import Found

router = APIRouter(tags=["health"])


@router.get("/healthz", summary="The process is alive")
async def healthz() -> Health:
    return Health(status="ok")


@router.get("/readyz", summary="Every shard has a live replica that has loaded", responses=problems(503))
async def readyz(found: Found) -> Health:
    if found.drain.begun:
        raise Unavailable("Not ready: it was asked to end.", reasons=["draining"])
    reasons = found.view.not_ready()
    if reasons:
        raise Unavailable("Not ready: " + "; ".join(reasons) + ".", reasons=reasons)
    return Health(status="ready")
