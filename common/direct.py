"""Hot routes: their endpoints read the request themselves, and the framework is passed by on the way to them.

Reading parameters by declaration, and finding the way through middlewares and routers, costs FastAPI more than a search
at home takes. What the OpenAPI page would have been told by the declarations, `openapi_extra` tells it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from common.http import FORESEEN, problem_of


class PlainRoute(APIRoute):
    """Its endpoint takes the request and returns the response."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        endpoint: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return endpoint


class Direct:
    """ASGI middleware that hands the requests of plain routes straight to their endpoints. Put it innermost: what the
    other middlewares refuse never comes here."""

    def __init__(self, app: ASGIApp, *routers: APIRouter) -> None:
        self._app = app
        routes = [route for router in routers for route in router.routes if isinstance(route, PlainRoute)]
        self._routes = [(route.methods or set(), route.path_regex, route) for route in routes]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            for methods, path, route in self._routes:
                if scope["method"] in methods and (found := path.match(scope["path"])) is not None:
                    scope["path_params"] = found.groupdict()
                    scope["route"] = route  # what a log may say of the request
                    try:
                        response = await route.endpoint(Request(scope, receive, send))
                    except FORESEEN as error:
                        response = problem_of(error)
                    await response(scope, receive, send)
                    return
        await self._app(scope, receive, send)
