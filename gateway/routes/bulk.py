"""`/v1/stores/{store}/faces:batch` and `faces:export`: many faces in, all faces out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from common.ledger import StoredFace
from common.limits import MAX_BULK, MAX_PAGE
from common.scan import START
from common.types import DLIB_SPACE, Wait
from gateway.body import content_type
from gateway.bulk import BulkEnroller
from gateway.bulk_body import ARRAYS, read_arrays, read_lines
from gateway.routes.docs import Cursor, Responses, StoreName, WaitFor, problems, request_body, whole_schema
from gateway.schemas.bulk import LINE, BulkAnswer, BulkLine, exported
from gateway.schemas.examples import EMBEDDING
from gateway.services import Found, Limit

router = APIRouter(prefix="/v1/stores/{store}", tags=["faces"])

LINES = "application/x-ndjson"
NPZ = "application/x-npz"
ZIP = "application/zip"
CURSOR = "Facegrid-Cursor"
EXPORTED: dict[str, Any] = LINE | {
    "embeddings": [EMBEDDING],
    "member_id": "c-1042",
    "photos": 3,
    "space": DLIB_SPACE,
    "created": "2026-11-20T08:00:00+00:00",
    "updated": "2026-11-20T09:30:00+00:00",
}
EXPORTED.pop("embedding")


def _lines_schema(description: str, *examples: Mapping[str, Any]) -> dict[str, Any]:
    schema = {"type": "string", "description": description, "contentMediaType": "application/json"}
    return {
        "schema": schema | {"contentSchema": whole_schema(BulkLine)},
        "example": "".join(json.dumps(one) + "\n" for one in examples),
    }


def _npz_schema() -> dict[str, Any]:
    arrays = f"Arrays {', '.join(ARRAYS)}, a row each; only embeddings (n, dimension) is needed."
    schema = {
        "type": "string",
        "format": "binary",
        "description": f"numpy.savez. {arrays} Rows of one face_id are templates of that face.",
    }
    return {"schema": schema, "example": "(an npz file)"}


def _page() -> Responses:
    return {
        200: {
            "description": f"{CURSOR} is the cursor of the next page, and absent at the end.",
            "content": {LINES: _lines_schema("A face a line.", EXPORTED)},
            "headers": {CURSOR: {"schema": {"type": "string"}}},
        }
    }


@router.post(
    "/faces:batch",
    summary="Enrol many faces, or add templates to them",
    responses=problems(400, 401, 404, 409, 413, 415, 422, 503, 504),
    openapi_extra=request_body(
        {
            LINES: _lines_schema(
                f"A face a line, up to {MAX_BULK}.", LINE, {"face_id": "bob", "embeddings": [EMBEDDING], "photos": 3}
            ),
            NPZ: _npz_schema(),
            ZIP: _npz_schema(),
        }
    ),
)
async def enrol_many(
    store: StoreName, request: Request, found: Found, limit: Limit, wait: WaitFor = Wait.VISIBLE
) -> BulkAnswer:
    """Each face as by an enrolment of its own. The whole body is checked before anything is written; an error names the
    `line` (from 1) or the `row` (from 0). If Redis fails half way, the problem says how many faces are `committed`;
    repeating the request is safe, and a face that has all of it already is not written again."""
    home = await found.view.store(store)
    media_type = content_type(request, [LINES, NPZ, ZIP])
    body = await request.body()
    # On a thread: a full body takes long, and others are served meanwhile.
    if media_type == LINES:
        bulk = await asyncio.to_thread(read_lines, body, home)
    else:
        bulk = await asyncio.to_thread(read_arrays, body, home, found.settings.body_bytes)
    done = await BulkEnroller(found.ledger, found.creator, home, bulk, limit).run()
    return BulkAnswer(
        store=store,
        faces=len(bulk.faces),
        created=done.created,
        updated=done.updated,
        version=done.version,
        visible=await found.enroller.is_visible(home, done.version, wait, limit),
        face_ids=[face_id for face_id, _ in bulk.faces],
    )


@router.get(
    "/faces:export",
    summary="All faces with their embeddings, page by page",
    response_class=Response,
    responses=_page() | problems(401, 404, 422, 503),
)
async def export(
    store: StoreName,
    found: Found,
    cursor: Cursor = START,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="About so many faces a page.")] = MAX_PAGE,
) -> Response:
    """What `faces:batch` takes. A face that a migration left behind has no embedding and is not in it, nor are
    thumbnails, visits, and whose member a face is (the members API binds it again). Every face that is there from the
    first page to the last appears; one may appear twice, as where it changes, or Redis is started again in between."""
    home = await found.view.store(store)
    following, page = await found.ledger.stored_page(home.store, cursor, limit)
    headers = {} if following is None else {CURSOR: following}
    return Response(await asyncio.to_thread(_lines, page), media_type=LINES, headers=headers)


def _lines(page: Mapping[str, StoredFace]) -> bytes:
    return b"".join(exported(face_id, face) for face_id, face in sorted(page.items()) if face.record.templates)
