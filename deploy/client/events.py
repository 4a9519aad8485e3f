"""Following a store's events through whatever happens to the connection.

The gateway ends a stream when it ends itself, and a connection breaks for a hundred reasons. Each time it is opened
again after the last event that arrived, so none is missed and none comes twice.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypedDict, cast
from urllib.parse import quote

import httpx

from common.settings import is_loopback
from deploy.client.http import ClientError, GatewayAway, Problem, not_a_gateway, problem_of

PATIENCE_S = 45.0
"""without a sign of life; the gateway gives one every 15 s"""
CONNECT_S = 10.0
LONGEST_PAUSE_S = 10.0
GAP = "gap"


class FaceBody(TypedDict):
    store: str
    face_id: str
    kind: str


class CardBody(TypedDict):
    member_id: str
    display_name: str
    tier: str | None


class EventBody(TypedDict):
    id: str
    type: str
    store: str
    at: str
    late: bool
    provisional: bool
    face: FaceBody | None
    member: CardBody | None
    was: FaceBody | None


@dataclass(frozen=True, slots=True)
class Message:
    """One server-sent event."""

    event: str
    id: str
    data: str


def messages(chunks: Iterable[bytes]) -> Iterator[Message]:
    """Server-sent events out of a stream of bytes, however they are cut; one without data only names the id to resume
    after. Comments and `retry` are passed over.

    One that is not complete when the stream ends is dropped. Lines end with a line feed: what a name may hold that
    Unicode calls a line break is none here.
    """
    rest, fields = b"", dict[str, str]()
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            name, _, value = line.decode(errors="replace").rstrip("\r").partition(":")
            if name:
                fields[name] = value.removeprefix(" ")
            elif fields and not value:
                yield Message(fields.get("event", ""), fields.get("id", ""), fields.get("data", ""))
                fields = {}


class Watch:
    """`tell` gets what happens to the connection, in words."""

    def __init__(
        self,
        url: str,
        key: str,
        tell: Callable[[str], None],
        *,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._tell = tell
        self._transport = transport
        self._sleep = sleep

    def events(self, store: str, after: str | None = None) -> Iterator[EventBody]:
        """The store's events after `after` (None: those still to come), for ever.

        Raises Problem if the gateway refuses, GatewayAway if it could not be reached even once.
        """
        failures, reached = 0, False
        while True:
            try:
                for message in self._stream(store, after):
                    if failures or not reached:
                        self._tell(f"Connected to {self._url}.")
                    failures, reached = 0, True
                    after = message.id or after
                    if message.event == GAP:
                        self._tell("Some events before the next one are missing: they are kept no more.")
                    elif message.data:
                        yield _event(message)
                why = "The gateway ended the stream"
            except httpx.TransportError as error:
                if not reached:
                    raise GatewayAway(f"No gateway answers at {self._url}.") from error
                why = f"The connection is lost ({type(error).__name__})"
            except Problem as problem:
                if problem.status < httpx.codes.INTERNAL_SERVER_ERROR or not reached:
                    raise
                why = str(problem)
            if not failures:
                self._tell(f"{why}; trying again.")
            self._sleep(min(LONGEST_PAUSE_S, 0.5 * 2.0**failures))
            failures += 1

    def _stream(self, store: str, after: str | None) -> Iterator[Message]:
        headers = self._headers | ({} if after is None else {"Last-Event-ID": after})
        timeout = httpx.Timeout(CONNECT_S, read=PATIENCE_S)
        local = is_loopback(httpx.URL(self._url).host)
        path = f"{self._url}/v1/stores/{quote(store, safe='')}/events"
        with (
            httpx.Client(timeout=timeout, transport=self._transport, trust_env=not local) as http,
            http.stream("GET", path, headers=headers) as response,
        ):
            if not response.is_success:
                response.read()
                raise problem_of(response, self._url)
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                raise ClientError(not_a_gateway(self._url))
            yield from messages(response.iter_bytes())


def _event(message: Message) -> EventBody:
    return cast("EventBody", json.loads(message.data))
