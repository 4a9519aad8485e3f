"""What both services do alike at the HTTP edge: problem bodies (RFC 9457), the size limit, the key check.

The middlewares are plain ASGI: they act before a body is read, so an oversized or unauthorised request costs no
memory and no parsing.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from common.errors import (
    BodyTooLarge,
    FacegridError,
    InvalidRequest,
    MalformedBody,
    MethodNotAllowed,
    NotFound,
    Unauthorized,
)
from common.settings import is_loopback

PROBLEM = "application/problem+json"
LIMITS = ("ge", "gt", "le", "lt", "min_length", "max_length", "pattern", "expected")
"""what pydantic calls the bounds that it tells"""
OPEN_PATHS = frozenset({"/healthz", "/readyz", "/docs", "/openapi.json"})
FETCH = (b"sec-fetch-site", b"sec-fetch-mode", b"sec-fetch-dest")
"""what browsers say of a request's origin and purpose, and no page can change"""

NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}
"""of the framework's own, which would tell paths and what was wrong with a request, and looks for somebody to tell
before every answer"""

log = logging.getLogger("facegrid.http")


def header(scope: Scope, name: bytes) -> bytes | None:
    """The first of this name, which is in lower case. (A dict of all takes longer.)"""
    for each, value in scope["headers"]:
        if each == name:
            return bytes(value)
    return None


def problem_response(error: FacegridError, headers: Mapping[str, str] | None = None) -> Response:
    sent = dict(headers or {})
    if error.retry_after_s is not None:
        sent["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, Unauthorized):
        sent["WWW-Authenticate"] = "Bearer"
    # As ASCII: what a client named may hold characters that UTF-8 cannot say (lone surrogates).
    return Response(json.dumps(error.problem(), separators=(",", ":")), error.status, sent, media_type=PROBLEM)


FORESEEN = (FacegridError, RequestValidationError, ClientDisconnect, HTTPException)


def problem_of(error: Exception) -> Response:
    """What is answered when one of the `FORESEEN` was raised."""
    match error:
        case FacegridError():
            return problem_response(error)
        case RequestValidationError():
            return problem_response(_from_validation(error))
        case HTTPException():
            return problem_response(_from_framework(error), error.headers)
        case _:
            return problem_response(MalformedBody("The caller hung up before its body was complete.", field="body"))


def problem_of_defect(scope: Scope, error: Exception) -> Response:
    """What is answered when anything else was raised; it is logged."""
    # The route, not the path: that one names the face.
    log.error("%s %s failed", scope["method"], getattr(scope.get("route"), "path", "?"), exc_info=error)
    return problem_response(FacegridError("Something unforeseen went wrong; the server's log has the details."))


def install_problems(app: FastAPI) -> None:
    """Make every error leave the app as a problem body; what was not foreseen is logged and says nothing of itself."""

    async def foreseen(_: Request, error: Exception) -> Response:
        return problem_of(error)

    async def by_framework(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101
        listed = _methods(request) if error.status_code == 405 else ""
        return problem_response(_from_framework(error), {"Allow": listed} if listed else error.headers)

    async def unforeseen(request: Request, error: Exception) -> Response:
        return problem_of_defect(request.scope, error)

    for kind in FORESEEN:
        app.add_exception_handler(kind, foreseen)
    app.add_exception_handler(HTTPException, by_framework)  # instead: it knows what other methods the path takes
    app.add_exception_handler(Exception, unforeseen)


def _from_validation(error: RequestValidationError) -> FacegridError:
    first: dict[str, Any] = dict(error.errors()[0])
    if first["type"] == "json_invalid":
        return MalformedBody(f"The body is not JSON: {first.get('ctx', {}).get('error', first['msg'])}.", field="body")
    field = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
    told = first.get("ctx", {})
    limits = [told[name] for name in LIMITS if isinstance(told.get(name), int | float | str)]
    return InvalidRequest(f"{field}: {first['msg']}.", field=field, limit=next(iter(limits), None))


def _from_framework(error: HTTPException) -> FacegridError:
    if error.status_code == 404:
        return NotFound("There is no such path; /docs lists them all.")
    if error.status_code == 405:
        return MethodNotAllowed("This path does not take that method; /docs lists them all.")
    if error.status_code == 400:
        return MalformedBody(f"{error.detail}", field="body")
    return InvalidRequest(f"{error.detail}")


def _methods(request: Request) -> str:
    """What the path does take. (The framework's own answer is that of the first route that has this path.)"""
    paths = request.app.openapi()["paths"].items()
    found = {method.upper() for path, item in paths if compile_path(path)[0].match(request.url.path) for method in item}
    return ", ".join(sorted(found))


class BodyLimit:
    """Refuses a body over `limit` bytes: by its Content-Length at once, or while it streams in.

    Rejected: FastAPI's max_body_size, which answers in plain text and does not say what the limit is.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = header(scope, b"content-length")
        declared = b"0" if declared is None else declared
        if not declared.isdigit() or int(declared) > self._limit:
            await problem_response(self._error())(scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._limit:
                raise self._error()
            return message

        await self._app(scope, counted, send)

    def _error(self) -> BodyTooLarge:
        return BodyTooLarge(f"The body may have at most {self._limit} bytes.", field="body", limit=self._limit)


class Admission:
    """Lets a request through unless there is a reason not to."""

    def __init__(self, app: ASGIApp, refusal: Callable[[Scope], FacegridError | None]) -> None:
        self._app = app
        self._refusal = refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = self._refusal(scope) if scope["type"] == "http" else None
        if error is not None:
            await problem_response(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)


class WithoutKey:
    """A refusal: of requests without one of the keys, as `Authorization: Bearer` or `X-API-Key`.

    No keys: everyone may (settings refuse to listen beyond this machine then). Keys are compared as SHA-256 in
    constant time.
    """

    def __init__(self, keys: Iterable[str], open_paths: Iterable[str] = OPEN_PATHS) -> None:
        self._digests = [_digest(key.encode()) for key in keys]
        self._open = frozenset(open_paths)

    def __call__(self, scope: Scope) -> FacegridError | None:
        if scope["path"] in self._open or self._has_key(scope):
            return None
        return Unauthorized("Send an API key as 'Authorization: Bearer …' or 'X-API-Key: …'.", field="authorization")

    def _has_key(self, scope: Scope) -> bool:
        headers = dict(scope["headers"])
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        sent = (headers.get(b"x-api-key", b""), token.strip() if scheme.lower() == b"bearer" else b"")
        pairs = [(_digest(key), known) for key in sent for known in self._digests]
        return any([hmac.compare_digest(key, known) for key, known in pairs])  # noqa: C419  # constant time


class OfAWebSite:
    """A refusal, where no key is asked for: of all but programs on this machine and the service's own pages.

    A browser sends any site's form, with a photo in it, to 127.0.0.1, and a site whose name is pointed here (DNS
    rebinding) may read the answers. Browsers tell both: `Host` is the name they called, `Origin` the page that sent.
    They leave `Origin` out where a page only shows something (an image, a frame, a script), but `Sec-Fetch-Site` says
    then that it is another's. Who follows a link to here is let in: no other page can read what fills the window.
    """

    def __init__(self, url: str = "") -> None:
        """`url`: where the service may be called besides this machine's own names."""
        self._name = urlsplit(url).hostname

    def __call__(self, scope: Scope) -> FacegridError | None:
        host = origin = None
        twice = False
        told: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            if name == b"host":
                twice, host = twice or host is not None, value
            elif name == b"origin":
                twice, origin = twice or origin is not None, value
            elif name in FETCH:
                told[name] = value
        if not twice and not _is_foreign(host, origin, self._name) and not (told and _is_shown_elsewhere(told)):
            return None
        return Unauthorized("Without a key only programs on this machine are answered, and no page of another origin.")


@lru_cache(maxsize=256)  # the same few again and again
def _is_foreign(called: bytes | None, page: bytes | None, own: str | None) -> bool:
    try:
        host = urlsplit("//" + ("localhost" if called is None else called.decode("latin-1")))
        origin = host if page is None else urlsplit(page.decode("latin-1"))
        name = host.hostname or ""
        return origin.netloc != host.netloc or not (is_loopback(name) or name == own)
    except ValueError:
        return True


def _is_shown_elsewhere(told: Mapping[bytes, bytes]) -> bool:
    site, *window = (told.get(name, b"") for name in FETCH)
    return site in {b"cross-site", b"same-site"} and window != [b"navigate", b"document"]


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
