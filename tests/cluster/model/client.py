"""A client that costs little: thousands of operations shall be the cluster's time and not ours.

Raw float32 bodies over one kept connection. Every answer is compared with the OpenAPI page.
"""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from common.types import Vectors
from tests.conformance import Page, Said

TIMEOUT_S = 30.0
RAW = {"Content-Type": "application/octet-stream"}


@dataclass(frozen=True, slots=True)
class Answer:
    """`status` 0: nobody answered. `unknown`: a write may or may not have happened."""

    status: int
    body: dict[str, Any] = field(default_factory=dict)
    unknown: bool = False

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def code(self) -> str:
        return str(self.body.get("code", "")) or ("ok" if self.ok else "no answer")


class Client:
    def __init__(self, url: str, page: Page) -> None:
        self.url = url
        self._page = page
        self._address = urlsplit(url)
        self._connection: http.client.HTTPConnection | None = None

    def call(self, method: str, path: str, rows: Vectors | None = None, **query: object) -> Answer:
        """Raises Unpromised for an answer that the page does not list."""
        target = f"{path}?{urlencode(query)}" if query else path
        if self._connection is None:
            self._connection = http.client.HTTPConnection(str(self._address.hostname), self._address.port, TIMEOUT_S)
            try:
                self._connection.connect()
            except OSError:
                self._connection = None
                return Answer(0)
        try:
            self._connection.request(
                method, target, None if rows is None else rows.tobytes(), RAW if rows is not None else {}
            )
            response = self._connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException):
            self.close()
            return Answer(0, unknown=True)
        media_type = (response.getheader("content-type") or "").partition(";")[0]
        self._page.check(Said(method, path, response.status, media_type, body))
        read = json.loads(body) if body else {}
        return Answer(response.status, read, unknown=read.get("outcome") == "unknown" or response.status == 504)

    def json(self, method: str, path: str, body: dict[str, Any]) -> Answer:
        """A request of the slow kind, on a connection of its own."""
        connection = http.client.HTTPConnection(str(self._address.hostname), self._address.port, timeout=TIMEOUT_S)
        try:
            connection.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
            response = connection.getresponse()
            raw = response.read()
        except (OSError, http.client.HTTPException):
            return Answer(0, unknown=True)
        finally:
            connection.close()
        media_type = (response.getheader("content-type") or "").partition(";")[0]
        self._page.check(Said(method, path.partition("?")[0], response.status, media_type, raw))
        return Answer(response.status, json.loads(raw) if raw else {})

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
