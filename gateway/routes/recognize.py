"""`/recognize`: the one-line question of the classic tutorial service."""

from __future__ import annotations

from dataclasses import replace

from fastapi import APIRouter, Request

from common.cluster_map import StoreConfig
from common.errors import Inconclusive, StoreRequired
from common.limits import check_name
from common.types import Scope, Verdict
from gateway.body import MULTIPART, content_type, read_upload
from gateway.photos import one_face_each, stack
from gateway.routes.docs import multipart, problems, request_body
from gateway.schemas.search import RecognizeAnswer
from gateway.services import Found, Limit, Services
from gateway.verdict import Asked, Why

router = APIRouter(tags=["search"])


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
