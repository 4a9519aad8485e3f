"""Every response against the OpenAPI page: is this status listed there, with this content type and such a body?

Used as an httpx event hook, so that no test can forget it: what the page does not promise raises where it was asked
for. A response to a path that the page does not list must be a problem; `/docs` and the page itself are left alone.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from typing import Any

import httpx
import jsonschema_rs
from redis.asyncio import Redis
from starlette.routing import compile_path

from common.http import PROBLEM
from common.settings import GatewaySettings
from gateway.app import create_app

UNLISTED = ("/docs", "/openapi.json")
LINES = "application/x-ndjson"
"""a document a line; the schema is that of one of them"""
BY_MIDDLEWARE = {400, 401, 404, 405, 413}
"""refused before a route is chosen, whatever the route lists"""


class Unpromised(AssertionError):
    """The response is not what the OpenAPI page says."""


@dataclass(frozen=True, slots=True)
class Said:
    """What somebody was answered."""

    method: str
    path: str
    status: int
    media_type: str
    body: bytes

    def __str__(self) -> str:
        return f"{self.method} {self.path} → {self.status} {self.media_type} {self.body[:300]!r}"


class Page:
    """One OpenAPI page, its validators kept."""

    def __init__(self, page: dict[str, Any]) -> None:
        self._page = page
        templates = sorted(page["paths"], key=lambda path: path.count("{"))  # the literal one before the one with names
        self._paths = [(compile_path(template)[0], template) for template in templates]
        self._validators: dict[str, jsonschema_rs.Draft202012Validator] = {}

    def check(self, said: Said) -> None:
        """Raises Unpromised."""
        if said.path.startswith(UNLISTED):
            return
        operation = self._operation(said.method, said.path)
        listed = {} if operation is None else operation["responses"]
        answer = listed.get(str(said.status))
        if answer is None:
            if said.status not in BY_MIDDLEWARE or (operation is not None and said.status in {404, 405}):
                raise Unpromised(f"The status is not listed (but {', '.join(listed)}): {said}")
            answer = {"content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/ProblemAnswer"}}}}
        self._check_body(said, answer.get("content", {}))

    def _operation(self, method: str, path: str) -> dict[str, Any] | None:
        for pattern, template in self._paths:
            if pattern.match(path) and method.lower() in self._page["paths"][template]:
                found: dict[str, Any] = self._page["paths"][template][method.lower()]
                return found
        return None

    def _check_body(self, said: Said, content: dict[str, Any]) -> None:
        if not content:
            if said.body:
                raise Unpromised(f"A body where none is listed: {said}")
            return
        if said.media_type not in content:
            raise Unpromised(f"The content type is not listed (but {', '.join(content)}): {said}")
        schema = content[said.media_type]["schema"]
        if said.media_type.endswith("json"):
            lines = said.media_type == LINES
            try:
                validator = self._validator(schema["contentSchema"] if lines else schema)
                for document in said.body.splitlines() if lines else [said.body]:
                    validator.validate(json.loads(document))
            except (ValueError, jsonschema_rs.ValidationError) as error:
                raise Unpromised(f"{error}: {said}") from None

    def _validator(self, schema: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
        name = json.dumps(schema, sort_keys=True)
        if name not in self._validators:
            whole = schema | {"components": self._page["components"]}
            self._validators[name] = jsonschema_rs.Draft202012Validator(whole)
        return self._validators[name]


@functools.cache
def page_of_the_gateway() -> Page:
    """What a gateway publishes, for tests that reach theirs through a socket."""
    return Page(create_app(GatewaySettings(encoder_workers=0), Redis()).openapi())


def said(response: httpx.Response) -> Said:
    media_type = response.headers.get("content-type", "").partition(";")[0].strip()
    request = response.request
    return Said(request.method, request.url.path, response.status_code, media_type, response.content)


def checked(page: Page) -> dict[str, list[Any]]:
    """`event_hooks=` of an asynchronous httpx client."""

    async def check(response: httpx.Response) -> None:
        await response.aread()
        page.check(said(response))

    return {"response": [check]}


def checked_sync(page: Page) -> dict[str, list[Any]]:
    """`event_hooks=` of an httpx client."""

    def check(response: httpx.Response) -> None:
        response.read()
        page.check(said(response))

    return {"response": [check]}
