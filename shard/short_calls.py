"""Short search calls, answered on the spot: from a head and a body to the packed answer, or to the word that this is
not for here.

What is not for here goes the long way, through uvicorn and the app, and is answered there: a head that is not written
as gateways write theirs, a call that is long or has to wait, a replica that leaves, and all that is wrong. Errors are
never answered here: whatever is raised will be raised again on that way, which knows how to say it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache

import httptools
from starlette.types import Scope

from common import wire
from common.drain import Drain
from common.errors import FacegridError
from shard.searcher import Searcher

PATH = "/search"
LONGEST_HEAD = 1024
LONGEST_BODY = 65_536
"""of a call that may be short: the probes of 120 searches at home, and their stores"""
HEADS = 1024
"""remembered; those of a gateway differ in the lengths that they say"""
HEADERS = frozenset({b"host", b"content-length", b"content-type", b"x-api-key"})
"""what gateways send; whatever else is said may change what is meant"""


class ShortCalls:
    def __init__(self, searcher: Searcher, drain: Drain, refusal: Callable[[Scope], FacegridError | None]) -> None:
        """`refusal`: as the app's own middleware asks it."""
        self._searcher = searcher
        self._drain = drain
        self._refusal = refusal
        # A key is looked up with its head then. By their hashes: the time says nothing of how much of it was right.
        self._body_bytes = lru_cache(HEADS)(self._read_body_bytes)

    def extent(self, data: bytes) -> tuple[int, int] | None:
        """Where the body begins and where it ends of the call that `data` begins with. None: it is not for here."""
        start = data.find(b"\r\n\r\n", 0, LONGEST_HEAD) + 4
        length = self._body_bytes(data[:start]) if start >= 4 else None
        return None if length is None else (start, start + length)

    def answer(self, body: bytes) -> bytes | None:
        """None: it is not for here."""
        if self._drain.begun:
            return None
        with suppress(Exception):  # whatever it is: see above
            call = wire.unpack_call(body)
            replies = self._searcher.at_once(call)
            return None if replies is None else wire.pack_reply(replies, call)
        return None

    def _read_body_bytes(self, head: bytes) -> int | None:
        """None for a head that is not for here."""
        read = _Head()
        parser = httptools.HttpRequestParser(read)
        try:
            parser.feed_data(head)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return None
        if (parser.get_method(), read.url, parser.get_http_version()) != (b"POST", PATH.encode(), "1.1"):
            return None
        said = dict(read.headers)
        if len(said) < len(read.headers) or not said.keys() <= HEADERS:
            return None
        if said.get(b"content-type", b"").lower() != wire.CONTENT_TYPE.encode() or b"content-length" not in said:
            return None
        length = int(said[b"content-length"])  # httptools has seen to it that this is a number
        refused = self._refusal({"path": PATH, "headers": read.headers}) is not None
        return None if refused or length > LONGEST_BODY else length


class _Head:
    """As httptools tells it."""

    def __init__(self) -> None:
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))
