"""Reading what a client sends: photos (multipart), embeddings (JSON) or raw little-endian float32, by content type.

Photos stay in memory (the app sets the multipart parser so): biometric data is not spooled to a disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect

from common.errors import BodyTooLarge, InvalidRequest, MalformedBody, UnsupportedMediaType, WrongDimension
from common.http import header
from common.limits import MAX_EMBEDDINGS, MAX_MISFITS, json_bytes
from common.types import Vectors
from common.vectors import unit_rows, unit_rows_from_bytes

JSON = "application/json"
RAW = "application/octet-stream"
MULTIPART = "multipart/form-data"
TOO_MANY = "too_many_misfits"
"""a type of error, beside pydantic's"""
MAX_FORM_FIELDS = 20
MAX_FORM_FILES = 100
"""what is parsed at all; a route allows fewer, and says how many"""

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Photo:
    field: str
    """`image[0]`, `image[1]`, …: how an error names it"""
    name: str
    """the file name the client gave"""
    content: bytes


@dataclass(frozen=True, slots=True)
class Upload:
    """A multipart body: its photos and its text fields."""

    photos: tuple[Photo, ...]
    fields: dict[str, str] = field(default_factory=dict)


def content_type(request: Request, accepted: Sequence[str]) -> str:
    """The request's media type; raises UnsupportedMediaType listing what is accepted."""
    sent = _content_type(header(request.scope, b"content-type") or b"")
    if sent not in accepted:
        raise UnsupportedMediaType(
            f"Send {' or '.join(accepted)}, not {sent or 'a body without a content type'}.",
            field="content-type",
            limit=list(accepted),
        )
    return sent


@lru_cache(maxsize=256)
def _content_type(header: bytes) -> str:
    return header.decode("latin-1").partition(";")[0].strip().lower()


async def read_upload(request: Request, allowed: frozenset[str], photos: tuple[int, int]) -> Upload:
    """A multipart body with `photos` (least, most) files named `image` and text fields among `allowed`."""
    try:
        found, fields = await _parts(request, allowed)
    except UnicodeError as error:  # Starlette takes latin-1 instead, but only where a codec is exact about its error
        raise MalformedBody("The form is not in the charset that its content type names.", field="body") from error
    least, most = photos
    if not least <= len(found) <= most:
        count = f"{least}" if least == most else f"{least} to {most}"
        raise InvalidRequest(f"Send {count} form fields named image, not {len(found)}.", field="image", limit=most)
    return Upload(tuple(found), fields)


async def _parts(request: Request, allowed: frozenset[str]) -> tuple[list[Photo], dict[str, str]]:
    """The photos and the text fields of a form."""
    found: list[Photo] = []
    fields: dict[str, str] = {}
    async with request.form(max_files=MAX_FORM_FILES, max_fields=MAX_FORM_FIELDS) as form:
        for name, value in form.multi_items():
            if name == "image":
                if not isinstance(value, UploadFile):
                    raise InvalidRequest("image must be a file (curl: -F image=@photo.jpg).", field="image")
                found.append(Photo(f"image[{len(found)}]", value.filename or "", await value.read()))
            elif name not in allowed or not isinstance(value, str):
                raise InvalidRequest(f"There is no form field {name!r} here.", field=name, limit=sorted(allowed))
            elif name in fields:
                raise InvalidRequest(f"The form field {name} is there twice.", field=name, limit=1)
            else:
                fields[name] = value
    return found, fields


async def read_json(request: Request, model: type[Model], numbers: int = 0) -> Model:
    """`numbers`: of embeddings, that there may be.

    Raises BodyTooLarge before anything is parsed, and what FastAPI raises for a body that does not fit, so that both
    are told in the same words.
    """
    try:
        return model.model_validate_json(await _whole(request, json_bytes(numbers)))
    except ValidationError as error:
        raise misfit("body", error) from error


async def _whole(request: Request, most: int | None = None) -> bytes:
    """The body. Nearly all come in one piece, for which the stream of pieces costs more than to read it.

    `most`: bytes, where it may have fewer than any body.
    """
    pieces, seen = [], 0
    while True:
        message = await request.receive()
        if message["type"] != "http.request":
            raise ClientDisconnect
        pieces.append(message.get("body", b""))
        seen += len(pieces[-1])
        if most is not None and seen > most:
            raise BodyTooLarge(f"As JSON the body may have at most {most} bytes here.", field="body", limit=most)
        if not message.get("more_body", False):
            return b"".join(pieces)


def misfit(place: str, error: ValidationError) -> RequestValidationError:
    """What FastAPI raises for something in the body or the query that does not fit."""
    first = first_misfit(error)
    return RequestValidationError([first | {"loc": (place, *first["loc"])}])


def first_misfit(error: ValidationError) -> dict[str, Any]:
    """The first thing that does not fit, for only one is told; of more than MAX_MISFITS, how many they are."""
    count = error.error_count()
    if count > MAX_MISFITS:
        return {"type": TOO_MANY, "loc": (), "msg": f"{count} fields or values in it are wrong"}
    return dict(error.errors(include_url=False, include_input=False)[0])


def read_options(request: Request, model: type[Model]) -> Model:
    """The query parameters. Raises what FastAPI raises, which would read them anew for every request: the same few
    combinations come again and again."""
    try:
        read: Model = _options(model, request.scope["query_string"])
        return read
    except ValidationError as error:
        raise misfit("query", error) from error


@lru_cache(maxsize=1024)
def _options(model: type[BaseModel], query: bytes) -> Any:
    return model.model_validate(dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True)))


async def read_raw(request: Request, dimension: int, most: int = MAX_EMBEDDINGS) -> Vectors:
    """(n, dimension) unit rows from a body of little-endian float32."""
    rows = unit_rows_from_bytes(await _whole(request), dimension)
    check_count(len(rows), most)
    return rows


def as_rows(embeddings: Sequence[Sequence[float]], dimension: int, field: str = "embeddings") -> Vectors:
    """(n, dimension) unit rows from JSON numbers. Raises WrongDimension, NotFinite or ZeroVector naming the row."""
    for at, row in enumerate(embeddings):
        if len(row) != dimension:
            raise WrongDimension(
                f"{field}[{at}] has {len(row)} numbers, not {dimension}.", field=f"{field}[{at}]", limit=dimension
            )
    return unit_rows(embeddings, dimension, field)


def check_count(count: int, most: int) -> None:
    if count > most:
        raise InvalidRequest(f"At most {most} embeddings are allowed, not {count}.", field="embeddings", limit=most)
