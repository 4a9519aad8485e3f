"""Hot requests to the gateway from a real socket: straight to the endpoints, and answered as by the framework."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import Response
from starlette.types import Receive, Scope

from tests.gateway.in_process import Cluster, cluster, unit
from tests.sockets import listening

ROW = unit(1)[0]
RAW = {"content-type": "application/octet-stream"}
FORM = {"content-type": "multipart/form-data; boundary=b"}


@pytest.fixture
async def chain(redis_url: str) -> AsyncIterator[Cluster]:
    async with cluster(redis_url, shards=2, deadline_s=0.5) as running:
        await running.create("A", shard="s1")
        await running.enrol("A", ROW[None], face_id="ada")
        yield running


@pytest.fixture
async def direct(chain: Cluster) -> list[str]:
    """Paths of the requests that came straight from a socket."""
    paths: list[str] = []
    answer = chain.gateway.state.direct.answer

    async def noting(scope: Scope, receive: Receive) -> Response:
        paths.append(scope["path"])
        response: Response = await answer(scope, receive)
        return response

    chain.gateway.state.direct.answer = noting
    return paths


@pytest.fixture
async def http(chain: Cluster) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        listening(chain.gateway) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        yield client


def lasting(body: Any) -> Any:
    """Without what two answers to the same question do not have in common."""
    if isinstance(body, dict):
        return {name: lasting(value) for name, value in body.items() if name not in {"timing", "view_age_s"}}
    return [lasting(each) for each in body] if isinstance(body, list) else body


ASKED = {
    "raw": ("/v1/stores/A/search?photos=1", ROW.tobytes(), RAW, 200),
    "JSON": ("/v1/stores/A/search", b'{"embeddings": [%b]}' % str(ROW.tolist()).encode(), {}, 200),
    "a batch": ("/v1/search:batch?stores=A,A", ROW.tobytes() * 2, RAW, 200),
    "of another length": ("/v1/stores/A/search", b"too short", RAW, 422),
    "an option that is none": ("/v1/stores/A/search?top_k=x", ROW.tobytes(), RAW, 422),
    "unknown store": ("/v1/stores/B/search", ROW.tobytes(), RAW, 404),
    "of another type": ("/v1/stores/A/search", b"", {"content-type": "text/plain"}, 415),
    "a broken form": ("/v1/stores/A/search", b"--b\r\nno form", FORM, 400),
    "an enrolment": ("/v1/stores/A/faces", b"too short", RAW, 422),
    "a sighting": ("/v1/stores/A/sightings", b"too short", RAW, 422),
}


@pytest.mark.parametrize("which", ASKED)
async def test_it_is_answered_as_by_the_framework(
    chain: Cluster, direct: list[str], http: httpx.AsyncClient, which: str
) -> None:
    path, content, headers, status = ASKED[which]
    sent = {"content-type": "application/json"} | headers
    here = await http.post(path, content=content, headers=sent)
    assert direct == [path.partition("?")[0]]
    there = await chain.http.post(path, content=content, headers=sent)
    assert len(direct) == 1
    assert (here.status_code, here.headers["content-type"]) == (status, there.headers["content-type"])
    assert (there.status_code, lasting(there.json())) == (status, lasting(here.json()))


async def test_a_web_site_is_refused_also_where_it_hides_behind_a_second_host(
    direct: list[str], http: httpx.AsyncClient
) -> None:
    for more in ({"origin": "https://evil.example"}, {"host": "evil.example"}):
        answer = await http.post("/v1/stores/A/search", content=ROW.tobytes(), headers=RAW | more)
        assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHORIZED")
    for hosts in (("localhost", "evil.example"), ("evil.example", "localhost")):
        told = "".join(f"Host: {host}\r\n" for host in hosts)
        assert await status_of(http, f"POST /v1/stores/A/search HTTP/1.1\r\n{told}Content-Length: 0\r\n\r\n") == 401
    assert direct == []


async def test_a_body_that_does_not_come_is_not_waited_for(direct: list[str], http: httpx.AsyncClient) -> None:
    head = "POST /v1/stores/A/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n"
    assert await status_of(http, f"{head}Content-Length: {ROW.nbytes}\r\n\r\n and no more") == 504
    assert direct == ["/v1/stores/A/search"]


async def status_of(http: httpx.AsyncClient, sent: str) -> int:
    """Of the answer to what no client would send."""
    reader, writer = await asyncio.open_connection("127.0.0.1", http.base_url.port)
    writer.write(sent.encode())
    async with asyncio.timeout(10):
        status = int((await reader.readuntil(b"\r\n")).split()[1])
    writer.close()
    return status
