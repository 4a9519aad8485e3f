"""What OpenAPI cannot derive: bodies that are read by content type, and the problem answers every route may give."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import FastAPI, Path, Query, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from pydantic import BaseModel

from common.errors import (
    CannotTrain,
    FacegridError,
    InvalidCurve,
    InvalidIndex,
    InvalidManifest,
    LeaseLost,
    ShardFault,
    SightingsWaiting,
    UnsafeBinding,
)
from common.http import OPEN_PATHS, PROBLEM
from common.limits import NAME_RULE
from common.scan import CURSOR
from common.types import Wait
from gateway.body import JSON, MULTIPART, RAW
from gateway.schemas.base import ProblemAnswer
from gateway.schemas.requests import NAME_SCHEMA

StoreName = Annotated[str, Path(description=NAME_RULE, json_schema_extra=NAME_SCHEMA)]
MemberId = Annotated[str, Path(description=NAME_RULE, json_schema_extra=NAME_SCHEMA)]
Cursor = Annotated[str, Query(pattern=f"^{CURSOR}$", description="From the page before; left out: the start.")]
WaitFor = Annotated[Wait, Query(description="visible: until the next search sees it; committed: until it is on disk.")]
FaceId = Annotated[str, Path(description=NAME_RULE, json_schema_extra=NAME_SCHEMA)]

SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
NEVER_ANSWERED: tuple[type[FacegridError], ...] = (
    UnsafeBinding,
    CannotTrain,
    InvalidIndex,
    InvalidManifest,
    InvalidCurve,
    SightingsWaiting,
    LeaseLost,
    ShardFault,
)
"""nor are their subclasses: raised at start or by a command, or dealt with inside a gateway (a search tells of shards'
faults in its coverage)"""
UNFRAMED = {"Content-Security-Policy": "frame-ancestors 'none'", "X-Frame-Options": "DENY"}
PROBLEM_REF = {"$ref": "#/components/schemas/ProblemAnswer"}

IMAGE: dict[str, Any] = {
    "type": "string",
    "format": "binary",
    "description": "JPEG, PNG, BMP or WebP photo",
}


Responses = dict[int | str, dict[str, Any]]


def problems(*statuses: int) -> Responses:
    """`responses=` for a route: problem bodies under these statuses, each with the codes that can be in it."""
    return {
        status: {
            "description": "Problem: " + ", ".join(f"`{code}`" for code in _codes(status)),
            "content": {PROBLEM: {"schema": PROBLEM_REF}},
        }
        for status in statuses
    }


def _codes(status: int, error: type[FacegridError] = FacegridError) -> list[str]:
    if error in NEVER_ANSWERED:
        return []
    own = [error.code] if error.status == status else []
    return own + [code for child in error.__subclasses__() for code in _codes(status, child)]


def complete(page: dict[str, Any], *, keyed: bool) -> dict[str, Any]:
    """Add the problem's schema, put it where FastAPI by itself lists its own shape of a 422, and say how to send a key
    if this gateway asks for one."""
    if keyed:
        page["components"]["securitySchemes"] = SECURITY_SCHEMES
        page["security"] = [{name: []} for name in SECURITY_SCHEMES]
        for path in OPEN_PATHS & page["paths"].keys():
            page["paths"][path]["get"]["security"] = []
    schemas = page["components"]["schemas"]
    schemas["ProblemAnswer"] = ProblemAnswer.model_json_schema()
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    for sent in page.get("webhooks", {}).values():
        sent["post"]["responses"].pop("422", None)  # FastAPI lists it for whatever has a body; we are who sends it
    for path in page["paths"].values():
        for operation in path.values():
            if "application/json" in operation["responses"].get("422", {}).get("content", {}):
                operation["responses"]["422"] = problems(422)[422]
    return page


def shown(app: FastAPI) -> Callable[[Request], Awaitable[Response]]:
    """The page for people, which no other page may show in a frame: with a click there it writes and erases."""

    async def page(_: Request) -> Response:
        html = get_swagger_ui_html(openapi_url="/openapi.json", title=app.title)
        html.headers.update(UNFRAMED)
        return html

    return page


def succeeds(status: int, description: str, model: type[BaseModel]) -> Responses:
    """`responses=` for a second way to succeed."""
    return {status: {"model": model, "description": description}}


def jpeg() -> Responses:
    """`responses=` for a route that answers with a picture."""
    return {200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}}}


def multipart(fields: dict[str, Any], *, photos: int, required: bool = True, example: dict[str, Any]) -> dict[str, Any]:
    """The multipart body: `image` up to `photos` times and text `fields`."""
    image = IMAGE if photos == 1 else {"type": "array", "items": IMAGE, "minItems": 1, "maxItems": photos}
    schema: dict[str, Any] = {"type": "object", "properties": {"image": image} | fields, "additionalProperties": False}
    if required:
        schema["required"] = ["image"]
    photo: Any = "(binary)" if photos == 1 else ["(binary)"]
    return {MULTIPART: {"schema": schema, "example": {"image": photo} | example}}


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    schema = whole_schema(model)
    examples = {f"example {nth}": {"value": value} for nth, value in enumerate(schema.get("examples", []), 1)}
    return {JSON: {"schema": schema, "examples": examples}}


def whole_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The model's schema with what it refers to in its place: the page knows only the shapes that FastAPI finds."""
    schema = model.model_json_schema()
    shapes = schema.pop("$defs", {})

    def whole(part: Any) -> Any:
        if isinstance(part, list):
            return [whole(one) for one in part]
        if not isinstance(part, dict):
            return part
        if "$ref" in part:
            part = {**shapes[part["$ref"].rpartition("/")[2]], **{k: v for k, v in part.items() if k != "$ref"}}
        return {name: whole(value) for name, value in part.items()}

    found: dict[str, Any] = whole(schema)
    return found


def raw_body() -> dict[str, Any]:
    text = "n x 128 little-endian float32"
    return {
        RAW: {
            "schema": {"type": "string", "format": "binary", "description": text},
            "example": "(512 bytes an embedding)",
        }
    }


STORE: dict[str, Any] = {
    "name": "store",
    "in": "path",
    "required": True,
    "description": NAME_RULE,
    "schema": {"type": "string", **NAME_SCHEMA},
}


def parameters(*described: dict[str, Any]) -> dict[str, Any]:
    """`openapi_extra=` for a route that reads its parameters itself."""
    return {"parameters": list(described)}


def query_parameters(model: type[BaseModel]) -> list[dict[str, Any]]:
    """What `body.read_options` reads."""
    schema = whole_schema(model)
    found = []
    for name, field in schema["properties"].items():
        described = {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": field}
        if "description" in field:
            described["description"] = field["description"]
        found.append(described)
    return found


def request_body(*kinds: dict[str, Any]) -> dict[str, Any]:
    """`openapi_extra=` for a route that takes any of these bodies."""
    content: dict[str, Any] = {}
    for kind in kinds:
        content |= kind
    return {"requestBody": {"required": True, "content": content}}
