"""The checkout's stream through real sockets: cut off anywhere, resumed, drained, neglected. And its other routes."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from common import keys
from common.cluster_map import StoreConfig
from common.truth import connect
from common.types import Kind
from common.visits import person_of
from deploy.client.events import messages as parse
from deploy.local.embedded_redis import free_port, start_embedded_redis
from tests.gateway.checkout import Gateway, announce, gateway_process, messages, open_store, put_face
from tests.gateway.in_process import Cluster, cluster, unit


@pytest.fixture
async def store(redis: Redis) -> StoreConfig:
    return await open_store(redis)


@pytest.fixture(scope="module")
def gateway(redis_server_url: str) -> Iterator[Gateway]:
    """For all tests that leave it as it was."""
    with gateway_process(redis_server_url) as running:
        yield running


@pytest.fixture
async def http(gateway: Gateway, store: StoreConfig) -> AsyncIterator[httpx.AsyncClient]:  # noqa: ARG001
    async with httpx.AsyncClient(base_url=gateway.url, trust_env=False, timeout=30) as client:
        yield client


def stream(http: httpx.AsyncClient, after: str | None = None) -> Any:
    headers = {} if after is None else {"Last-Event-ID": after}
    return http.stream("GET", "/v1/stores/A/events", headers=headers)


async def read(http: httpx.AsyncClient, count: int, after: str | None = None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(30), stream(http, after) as response:
        async for message in messages(response):
            found.append({"event": message.event, **json.loads(message.data)})
            if len(found) == count:
                break
    return found


@pytest.mark.cluster
async def test_an_event_says_who_came_and_shows_the_card(
    redis: Redis, store: StoreConfig, http: httpx.AsyncClient
) -> None:
    await http.put("/v1/members/c-1", json={"display_name": "Ada Lovelace", "tier": "gold"})
    ada = await put_face(redis, store, "ada", Kind.MEMBER, "c-1")
    bob = await put_face(redis, store, "bob")
    await announce(redis, "A", ada, at_ms=1_795_161_600_000, p="1")
    await announce(redis, "A", bob, "new_visitor", l="1")
    await announce(redis, "A", bob, "correction", w=ada)
    await announce(redis, "A", person_of(store, "erased"))
    await announce(redis, "A", "A/00000000/ada")  # of a store that was deleted and created again
    first, second, third, *gone = await read(http, 5, "0")
    assert first == {
        "event": "arrival",
        "id": first["id"],
        "type": "arrival",
        "store": "A",
        "at": "2026-11-20T08:00:00Z",
        "late": False,
        "provisional": True,
        "face": {"store": "A", "face_id": "ada", "kind": "member"},
        "member": {
            "member_id": "c-1",
            "display_name": "Ada Lovelace",
            "tier": "gold",
            "external_id": None,
            "attributes": {},
        },
        "was": None,
    }
    assert (second["event"], second["late"], second["face"]["kind"], second["member"]) == (
        "new_visitor",
        True,
        "visitor",
        None,
    )
    assert (third["type"], third["face"]["face_id"], third["was"]["face_id"]) == ("correction", "bob", "ada")
    assert [(event["face"], event["member"]) for event in gone] == [(None, None), (None, None)]


@pytest.mark.cluster
async def test_a_client_cut_off_at_random_points_gets_every_event_once_and_in_order(
    redis: Redis, gateway: Gateway, store: StoreConfig
) -> None:
    seed = time.time_ns()
    print(f"seed {seed}")
    dice, total, written, got = random.Random(seed), 400, list[str](), list[str]()

    async def write() -> None:
        for _ in range(total):
            written.append(await announce(redis, store.store))
            await asyncio.sleep(0.002)

    async def read_a_while(after: str) -> str:
        """Raw bytes of one connection, which is cut anywhere; the id to go on after."""
        port = int(gateway.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        request = f"GET /v1/stores/A/events HTTP/1.1\r\nHost: 127.0.0.1\r\nLast-Event-ID: {after}\r\n\r\n"
        writer.write(request.encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        raw, cut = b"", dice.randrange(1, 6000)
        while len(raw) < cut and len(got) + raw.count(b"data:") < total:
            raw += await reader.read(cut - len(raw))
        writer.transport.abort()
        for message in parse([unchunked(raw)]):
            after = message.id
            if message.data:
                got.append(message.id)
        return after

    writing = asyncio.create_task(write())
    position, connections = "0-0", 0
    async with asyncio.timeout(60):
        while len(got) < total:
            position = await read_a_while(position)
            connections += 1
    await writing
    assert got == written
    assert connections > 10


def unchunked(raw: bytes) -> bytes:
    """The body out of HTTP's chunks, also where it was cut in the middle of one."""
    body = b""
    while raw:
        size, found, raw = raw.partition(b"\r\n")
        if not found:
            break
        length = int(size, 16)
        body, raw = body + raw[:length], raw[length + 2 :]
    return body


@pytest.mark.cluster
async def test_a_client_cut_off_before_the_first_event_knows_where_to_go_on(
    redis: Redis, http: httpx.AsyncClient
) -> None:
    before = await announce(redis, "A")
    async with stream(http) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-store"
        async for line in response.aiter_lines():
            if line.startswith("id: "):
                assert line == f"id: {before}"
                break
    missed = await announce(redis, "A")
    assert [event["id"] for event in await read(http, 1, before)] == [missed]


@pytest.mark.cluster
async def test_a_client_that_comes_too_late_is_told_that_there_is_a_gap(redis: Redis, http: httpx.AsyncClient) -> None:
    ids = [await announce(redis, "A") for _ in range(4)]
    await redis.xtrim(keys.events("A"), minid=ids[2], approximate=False)
    assert [event["event"] for event in await read(http, 3, ids[0])] == ["gap", "arrival", "arrival"]
    assert [event["event"] for event in await read(http, 1, ids[2])] == ["arrival"]


@pytest.mark.cluster
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_gateway_that_ends_ends_its_streams_and_does_not_wait_for_them(
    number: signal.Signals, redis_url: str, redis: Redis, store: StoreConfig
) -> None:
    await announce(redis, store.store)
    with gateway_process(redis_url) as gateway:
        async with httpx.AsyncClient(base_url=gateway.url, trust_env=False) as http, stream(http, "0") as response:
            following = messages(response)
            await anext(following)
            gateway.child.send_signal(number)
            async with asyncio.timeout(5):  # it would wait twice as long for an answer that does not end
                assert [message async for message in following] == []  # complete: not cut off within a chunk
                status = await asyncio.to_thread(gateway.child.wait)
    assert status == (0 if number == signal.SIGTERM else 130)


@pytest.mark.cluster
async def test_a_stream_goes_on_after_an_outage_of_redis_and_nothing_is_lost(tmp_path: Path) -> None:
    port = free_port()
    server = start_embedded_redis(tmp_path, port)
    url = f"redis://127.0.0.1:{port}/0"
    redis = connect(url, 1)
    try:
        store = await open_store(redis)
        with gateway_process(url, redis_timeout_s=1) as gateway:
            async with (
                httpx.AsyncClient(base_url=gateway.url, trust_env=False, timeout=30) as http,
                stream(http, "0") as response,
                asyncio.timeout(60),
            ):
                following = messages(response)
                ids = [await announce(redis, "A", person_of(store, "ada"))]
                got = [(await anext(following)).id]
                for _ in range(2):
                    server.kill()
                    server.wait()
                    assert (await http.get("/v1/stores/A/present")).json()["code"] == "TRUTH_UNAVAILABLE"
                    refused = await http.get("/v1/stores/A/events")
                    assert refused.json()["code"] == "TRUTH_UNAVAILABLE"
                    server = start_embedded_redis(tmp_path, port)
                    ids += [await announce(redis, "A", person_of(store, "ada")) for _ in range(3)]
                    got += [(await anext(following)).id for _ in range(3)]
                assert got == ids
    finally:
        await redis.aclose()
        server.kill()
        server.wait()


@pytest.mark.cluster
async def test_a_client_that_never_reads_does_not_hold_up_the_others(
    redis: Redis, gateway: Gateway, http: httpx.AsyncClient
) -> None:
    with socket.create_connection(("127.0.0.1", int(gateway.url.rpartition(":")[2]))) as neglected:
        neglected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        neglected.sendall(b"GET /v1/stores/A/events?after=0 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        pipe = redis.pipeline(transaction=False)
        for _ in range(9000):
            pipe.xadd(keys.events("A"), {"t": "arrival", "k": "~v00", "a": 1})
        ids = await pipe.execute()
        assert len(await read(http, 9000, "0")) == 9000
        later = await announce(redis, "A")
        assert [event["id"] for event in await read(http, 1, ids[-1].decode())] == [later]


@pytest.fixture
async def chain(redis_url: str) -> AsyncIterator[Cluster]:
    async with cluster(redis_url, shards=1) as running:
        await running.create("A")
        yield running


@pytest.mark.parametrize(
    ("path", "headers", "field"),
    [
        ("/v1/stores/A/events", {"Last-Event-ID": "yesterday"}, "Last-Event-ID"),
        ("/v1/stores/A/events", {"Last-Event-ID": "1-"}, "Last-Event-ID"),
        ("/v1/stores/A/events", {"Last-Event-ID": f"{2**64}-0"}, "Last-Event-ID"),
        ("/v1/stores/A/events?after=-1", {}, "after"),
        ("/v1/stores/A/events?since=0", {}, "since"),
        ("/v1/stores/A/feedback?from=yesterday", {}, "from"),
        ("/v1/stores/A/feedback?from=2026-11-20T08:00:00", {}, "from"),
        ("/v1/stores/A/feedback?from=2026-11-21T00:00:00Z&to=2026-11-20T00:00:00Z", {}, "from"),
        ("/v1/stores/A/feedback?until=2026-11-20T00:00:00Z", {}, "until"),
        ("/v1/webhooks/dead-letters?limit=1001", {}, "limit"),
        ("/v1/webhooks/dead-letters?cursor=x", {}, "cursor"),
    ],
)
async def test_what_cannot_be_meant_is_refused_and_named(
    chain: Cluster, path: str, headers: dict[str, str], field: str
) -> None:
    response = await chain.http.get(path, headers=headers)
    body = response.json()
    assert (response.status_code, body["code"], body["field"]) == (422, "INVALID_REQUEST", field)


@pytest.mark.parametrize("path", ["events", "present", "feedback"])
async def test_a_store_that_does_not_exist_has_no_checkout(chain: Cluster, path: str) -> None:
    response = await chain.http.get(f"/v1/stores/Z/{path}")
    assert (response.status_code, response.json()["code"]) == (404, "UNKNOWN_STORE")


async def test_feedback_is_counted_once_an_event_and_the_last_word_counts(chain: Cluster, redis: Redis) -> None:
    ids = [await announce(redis, "A") for _ in range(4)]

    async def judge(event_id: str, *, correct: bool) -> int:
        path = f"/v1/stores/A/events/{event_id}/feedback"
        return (await chain.http.post(path, json={"correct": correct})).status_code

    async def summary(query: str = "") -> tuple[int, int, float | None]:
        body = (await chain.http.get(f"/v1/stores/A/feedback{query}")).json()
        return body["events_judged"], body["wrong"], body["false_accept_rate"]

    assert await summary() == (0, 0, None)
    assert [await judge(event_id, correct=False) for event_id in ids] == [200] * 4
    assert [await judge(event_id, correct=True) for event_id in ids[:3]] == [200] * 3
    assert await summary() == (4, 1, 0.25)
    assert await summary("?to=2020-01-01T00:00:00Z") == (0, 0, None)
    assert await summary("?from=2020-01-01T00:00:00%2B01:00") == (4, 1, 0.25)
    unknown = await chain.http.post("/v1/stores/A/events/1-0/feedback", json={"correct": True})
    assert (unknown.status_code, unknown.json()["code"], unknown.json()["field"]) == (404, "UNKNOWN_EVENT", "event_id")
    nobody = await announce(redis, "A", kind="new_visitor")
    assert await judge(nobody, correct=False) == 422
    misspelt = await chain.http.post(f"/v1/stores/A/events/{ids[0]}/feedback", json={"corect": True})
    assert misspelt.status_code == 422
    assert await summary() == (4, 1, 0.25)


async def test_sightings_are_told_as_arrivals_and_show_who_is_present(chain: Cluster) -> None:
    await chain.enrol("A", unit(1), face_id="ada")
    await chain.enrol("A", unit(2), face_id="sue", kind="staff")
    await chain.http.put("/v1/members/c-1", json={"display_name": "Ada"})
    assert (await chain.http.put("/v1/members/c-1/faces/A/ada")).is_success
    for seed in (1, 2, 3):
        seen = await chain.http.post("/v1/stores/A/sightings", json={"embeddings": unit(seed).tolist()})
        assert seen.status_code == 200, seen.text
    events = await chain.services.desk.events.after("A", "0-0")
    assert [event.type for event in events] == ["arrival", "new_visitor"]
    body = (await chain.http.get("/v1/stores/A/present")).json()
    kinds = [(one["kind"], one["member"] and one["member"]["display_name"]) for one in body["present"]]
    assert ("member", "Ada") in kinds
    assert ("visitor", None) in kinds
    assert body["count"] == 2
    assert body["total"] == len(kinds)
