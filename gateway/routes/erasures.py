"""`/v1/erasures/{id}`: has every replica dropped an erased face?"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from gateway.routes.docs import problems
from gateway.schemas.faces import ErasureAnswer
from gateway.services import Found

router = APIRouter(prefix="/v1/erasures", tags=["faces"])


@router.get("/{erasure_id}", summary="The receipt of an erasure", responses=problems(401, 404, 422, 503))
async def get_erasure(
    erasure_id: Annotated[str, Path(max_length=200, description="From the answer to DELETE.")], found: Found
) -> ErasureAnswer:
    """Ask until it is complete: then no process of the cluster holds the face any more."""
    return ErasureAnswer.of(await found.erasures.look(erasure_id))
