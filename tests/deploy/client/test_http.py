"""What the client makes of answers, above all of the bad ones."""

from __future__ import annotations

import socket

import httpx
import pytest

from deploy.client.http import ATTEMPTS, Client, ClientError, GatewayAway, Problem, Upload, may_pass
from deploy.local.embedded_redis import free_port
from tests.deploy.client.faults import client_of, problem

STORES = {"stores": [{"store": "a"}]}


def names(client: Client) -> list[str]:
    return [store["store"] for store in client.stores()]


def test_a_gateway_that_is_not_there_is_said_at_once() -> None:
    with Client(f"http://127.0.0.1:{free_port()}") as client, pytest.raises(GatewayAway, match="No gateway answers"):
        client.stores()


def test_503_is_tried_again_when_the_gateway_says_so() -> None:
    answers = [
        problem(503, "ENCODER_BUSY", retry_after="2"),
        problem(503, "UNAVAILABLE"),
        httpx.Response(200, json=STORES),
    ]
    slept: list[float] = []
    assert names(client_of(lambda _: answers.pop(0), slept)) == ["a"]
    assert slept == [2.0, 0.4]


def test_trying_again_has_an_end() -> None:
    slept: list[float] = []
    with pytest.raises(Problem, match="NO_LIVE_SHARD"):
        client_of(lambda _: problem(503, "NO_LIVE_SHARD", retry_after="1"), slept).stores()
    assert slept == [1.0] * (ATTEMPTS - 1)


@pytest.mark.parametrize(
    "answer",
    [
        problem(503, "TRUTH_UNAVAILABLE", retry_after="1", outcome="unknown"),
        problem(503, "ENCODER_MISSING", retry_after="60"),
        problem(422, "NO_FACE", "image[0]"),
        problem(504, "DEADLINE_EXCEEDED"),
    ],
)
def test_what_may_have_happened_or_will_not_change_soon_is_not_sent_again(answer: httpx.Response) -> None:
    slept: list[float] = []
    with pytest.raises(Problem):
        client_of(lambda _: answer, slept).enrol("a", "ada", [Upload("1.jpg", b"")], {})
    assert slept == []


def test_a_gateway_that_is_being_restarted_is_waited_for() -> None:
    answers: list[httpx.Response | Exception] = [
        httpx.Response(200, json=STORES),
        httpx.ConnectError("refused"),
        httpx.Response(200, json=STORES),
    ]

    def handler(_: httpx.Request) -> httpx.Response:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    slept: list[float] = []
    client = client_of(handler, slept)
    client.stores()
    assert names(client) == ["a"]
    assert slept == [0.2]


def test_a_connection_that_breaks_off_is_not_sent_again() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("reset", request=request)

    slept: list[float] = []
    with pytest.raises(GatewayAway, match="broke off"):
        client_of(handler, slept).put_store("a")
    assert slept == []


def test_a_problem_body_reads_as_one_line_with_its_code() -> None:
    answer = problem(404, "UNKNOWN_STORE", "store")
    with pytest.raises(Problem, match=r"^store unknown_store\. \[UNKNOWN_STORE\]$"):
        client_of(lambda _: answer).shards()


@pytest.mark.parametrize("body", ["<html>", "[]", "null", '{"detail": "Not Found"}'])
def test_an_error_that_is_no_problem_body_still_has_a_code_and_a_next_step(body: str) -> None:
    with pytest.raises(Problem, match=r"not as a Facegrid gateway does\. Is the URL right\? \[HTTP_500\]"):
        client_of(lambda _: httpx.Response(500, text=body)).stores()


def test_a_path_that_no_gateway_has_points_to_the_url() -> None:
    with pytest.raises(Problem, match=r"Is the URL right\? \[NOT_FOUND\]"):
        client_of(lambda _: problem(404, "NOT_FOUND")).stores()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (GatewayAway("away"), True),
        (KeyboardInterrupt(), True),
        (Problem(503, {}), True),
        (Problem(504, {}), True),
        (Problem(422, {}), False),
        (ClientError("Row 7: the store's name is none."), False),
    ],
)
def test_a_repetition_may_help_where_nobody_answered_in_time(error: BaseException, expected: bool) -> None:
    assert may_pass(error) is expected


@pytest.mark.parametrize("body", ["hello", '{"ok": true}', "[]"])
def test_something_else_at_the_url_is_named_as_such(body: str) -> None:
    with pytest.raises(ClientError, match="not as a Facegrid gateway"):
        client_of(lambda _: httpx.Response(200, text=body)).stores()


def test_photos_for_this_machine_are_not_sent_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.setblocking(False)
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        with Client(f"http://127.0.0.1:{free_port()}", timeout_s=2) as client, pytest.raises(GatewayAway):
            client.stores()
        with pytest.raises(BlockingIOError):
            proxy.accept()


def test_the_key_is_sent_and_names_are_quoted_in_paths() -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(404, json={})

    assert client_of(handler).thumbnail("a", "b?c/d") is None
    assert seen[0].headers["Authorization"] == "Bearer key"
    assert seen[0].url.raw_path == b"/v1/stores/a/faces/b%3Fc%2Fd/thumbnail"


def test_faces_are_read_page_by_page() -> None:
    pages = {"": {"faces": [{"face_id": "a"}], "cursor": "7"}, "7": {"faces": [{"face_id": "b"}], "cursor": None}}
    client = client_of(lambda request: httpx.Response(200, json=pages[request.url.params.get("cursor", "")]))
    assert [face["face_id"] for face in client.faces("s")] == ["a", "b"]
