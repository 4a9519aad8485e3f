"""`/v1/spaces`: what photos can be encoded into here."""

from __future__ import annotations

from fastapi import APIRouter

from gateway.routes.docs import problems
from gateway.schemas.spaces import SpaceAnswer, SpacesAnswer
from gateway.services import Found

router = APIRouter(prefix="/v1", tags=["stores"])


@router.get("/spaces", summary="All embedding spaces", responses=problems(401))
async def list_spaces(found: Found) -> SpacesAnswer:
    """What a new store's `space` may be, and how far the false match rates of each were measured."""
    spaces, target = found.spaces, found.settings.target_fpir
    return SpacesAnswer(spaces=[SpaceAnswer.of(spaces.of(name), target) for name in spaces.names])
