"""Hot routes: their endpoints read the request themselves, and their requests come to them straight from the socket.

Reading parameters by declaration, and finding the way through middlewares and routers, costs FastAPI more than a search
at home takes; the messages between uvicorn and the app cost half as much again. What the OpenAPI page would have been
told by the declarations, `openapi_extra` tells it.

Only what is ordinary goes this way: the server (`common/connection`) asks `Direct` as soon as it has a request's head.
Everything else, and whatever is to be refused, goes the framework's way, to the same endpoint in the end.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope

from common.drain import Drain
from common.errors import FacegridError
from common.http import FORESEEN, header, problem_of, problem_of_defect

MOST_BYTES = 65_536
"""of a body: of longer ones uvicorn sees to it that not too much waits in memory"""

Endpoint = Callable[[Request], Coroutine[Any, Any, Response]]


class PlainRoute(APIRoute):
    """Its endpoint takes the request and returns a response whose body is there."""

    def get_route_handler(self) -> Endpoint:
        endpoint: Endpoint = self.endpoint
        return endpoint


class Direct:
    """An app's hot routes. `refusal` and `most_bytes`: what the app's middlewares ask of every request."""

    def __init__(
        self,
        app: FastAPI,
        drain: Drain,
        refusal: Callable[[Scope], FacegridError | None],
        most_bytes: int,
        *routers: APIRouter,
    ) -> None:
        self.drain = drain
        self._app = app
        self._refusal = refusal
        self._most_bytes = min(most_bytes, MOST_BYTES)
        routes = [route for router in routers for route in router.routes if isinstance(route, PlainRoute)]
        self._routes = [
            (method.encode(), route.path_regex, route) for route in routes for method in route.methods or ()
        ]

    def takes(self, method: bytes, url: bytes, scope: Scope) -> bool:
        """Whether the request goes this way; then its scope, which has the headers, is complete."""
        raw_path, _, query = url.partition(b"?")
        if b"%" in raw_path or b"#" in url or not raw_path.isascii():
            return False
        scope["path"] = path = raw_path.decode()
        for taken, regex, route in self._routes:
            if taken == method and (found := regex.match(path)) is not None:
                if not self._is_ordinary(scope) or self._refusal(scope) is not None:
                    return False
                scope["method"], scope["raw_path"], scope["query_string"] = method.decode(), raw_path, query
                scope["app"], scope["route"], scope["path_params"] = self._app, route, found.groupdict()
                return True
        return False

    def _is_ordinary(self, scope: Scope) -> bool:
        length = header(scope, b"content-length")
        return length is not None and length.isdigit() and int(length) <= self._most_bytes

    async def answer(self, scope: Scope, receive: Receive) -> Response:
        """Of a request that it takes; every error is a response, too."""
        try:
            response: Response = await scope["route"].endpoint(Request(scope, receive))
        except FORESEEN as error:
            return problem_of(error)
        except Exception as error:  # noqa: BLE001  # a defect
            return problem_of_defect(scope, error)
        return response
