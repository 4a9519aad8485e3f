"""Following a stream: however the bytes are cut, and whatever becomes of the connection."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator

import httpx
import pytest

from deploy.client.events import EventBody, Message, Watch, messages
from deploy.client.http import ClientError, GatewayAway, Problem
from tests.deploy.client.faults import problem

RAW = 'retry: 1000\nid: 7-0\n\n: ping\n\nevent: arrival\r\nid: 8-0\r\ndata: {"a": "ü"}\r\n\r\nid: 9-0\ndata: {'.encode()


@pytest.mark.parametrize("size", range(1, 20))
def test_messages_are_the_same_however_the_bytes_are_cut(size: int) -> None:
    chunks = (RAW[at : at + size] for at in range(0, len(RAW), size))
    assert list(messages(chunks)) == [Message("", "7-0", ""), Message("arrival", "8-0", '{"a": "ü"}')]


def event(number: int) -> EventBody:
    return {
        "id": f"{number}-0",
        "type": "arrival",
        "store": "A",
        "at": "2026-11-20T08:00:00Z",
        "late": False,
        "provisional": False,
        "face": None,
        "member": None,
        "was": None,
    }


def sse(*numbers: int, position: str = "0-0", gap: bool = False) -> bytes:
    frames = [f"retry: 1000\nid: {position}\n\n"] + ([f"event: gap\nid: {position}\ndata: {{}}\n\n"] if gap else [])
    frames += [f"event: arrival\nid: {number}-0\ndata: {json.dumps(event(number))}\n\n" for number in numbers]
    return "".join(frames).encode()


def stream(body: bytes) -> httpx.Response:
    return httpx.Response(200, headers={"content-type": "text/event-stream; charset=utf-8"}, content=body)


def cut(body: bytes) -> httpx.Response:
    """The body, and then the connection breaks."""

    def chunks() -> Iterator[bytes]:
        yield body
        raise httpx.ReadError("reset")

    return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=chunks())


class Followed:
    """A watch whose connections are answered one after the other."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.asked: list[str | None] = []
        self.told: list[str] = []
        self.slept: list[float] = []
        self._answers = iter(answers)
        transport = httpx.MockTransport(self._answer)
        self.watch = Watch("http://gateway", "key", self.told.append, transport=transport, sleep=self.slept.append)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["Authorization"] == "Bearer key"
        self.asked.append(request.headers.get("Last-Event-ID"))
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def take(self, count: int, after: str | None = None) -> list[str]:
        return [event["id"] for event in itertools.islice(self.watch.events("A", after), count)]


def test_each_connection_goes_on_after_the_last_event_of_the_one_before() -> None:
    refused = httpx.ConnectError("refused")
    followed = Followed(
        stream(sse(1, 2)), cut(sse(3)), refused, refused, problem(503, "TRUTH_UNAVAILABLE"), cut(sse(4))
    )
    assert followed.take(4, "0") == ["1-0", "2-0", "3-0", "4-0"]
    assert followed.asked == ["0", "2-0", "3-0", "3-0", "3-0", "3-0"]
    assert followed.slept == [0.5, 0.5, 1.0, 2.0, 4.0]
    assert [line.partition(";")[0] for line in followed.told] == [
        "Connected to http://gateway.",
        "The gateway ended the stream",
        "Connected to http://gateway.",
        "The connection is lost (ReadError)",
        "Connected to http://gateway.",
    ]


def test_who_is_cut_off_before_the_first_event_misses_none() -> None:
    followed = Followed(cut(sse(position="5-0")), stream(sse(6)))
    assert followed.take(1) == ["6-0"]
    assert followed.asked == [None, "5-0"]


def test_a_gap_is_said_and_is_no_event() -> None:
    followed = Followed(stream(sse(9, position="3-0", gap=True)))
    assert followed.take(1, "3-0") == ["9-0"]
    assert any("missing" in line for line in followed.told)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lambda: httpx.ConnectError("refused"), GatewayAway),
        (lambda: problem(404, "UNKNOWN_STORE"), Problem),
        (lambda: problem(503, "TRUTH_UNAVAILABLE"), Problem),
        (lambda: httpx.Response(200, text="hello"), ClientError),
    ],
)
def test_what_will_not_do_from_the_beginning_is_said_at_once(
    answer: Callable[[], httpx.Response | Exception], expected: type[Exception]
) -> None:
    with pytest.raises(expected):
        Followed(answer()).take(1)


def test_a_store_that_was_deleted_meanwhile_ends_it() -> None:
    with pytest.raises(Problem, match="UNKNOWN_STORE"):
        Followed(stream(sse(1)), problem(404, "UNKNOWN_STORE")).take(2)
