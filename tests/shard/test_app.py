"""The HTTP edge of a replica: what it answers, what it refuses and how."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import ormsgpack
import pytest
from redis.asyncio import Redis

from common import keys, wire
from common.types import DLIB_SPACE
from tests.shard.helpers import Running, Writer, eventually, ready, running, settings_for, unit

ROWS = unit(10)
CALL: dict[str, Any] = {
    "space": DLIB_SPACE,
    "remaining_ms": 5000,
    "scopes": [{"A": "i"}],
    "queries": [[0, 2, 3, False, None]],
    "d": 128,
    "probes": ROWS[:2].tobytes(),
}


@pytest.fixture
async def one(redis: Redis, redis_url: str) -> AsyncIterator[Running]:
    writer = Writer(redis)
    await redis.set(keys.incarnation("A"), "i")  # as if left over from a creation that was cut off
    await writer.put(await writer.open("A"), {f"f{at}": ROWS[at] for at in range(10)})
    async with ready(settings_for(redis_url)) as running_one:
        yield running_one


def problem(response: httpx.Response) -> tuple[int, str, str | None]:
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == response.status_code
    return response.status_code, body["code"], body.get("field")


async def test_a_call_of_several_queries_is_answered_query_by_query(one: Running) -> None:
    stores = {"A": (await one.incarnations())["A"]}
    queries = (wire.Query(stores, ROWS[:2], 3), wire.Query(stores | {"B": "i"}, ROWS[5:6], 1, exact=True))
    call = wire.SearchCall(DLIB_SPACE, queries, remaining_ms=5000)
    response = await one.post("/search", wire.pack_call(call))
    assert response.headers["content-type"] == wire.CONTENT_TYPE
    first, second = wire.unpack_reply(response.content, call)
    assert [hits[0].face_id for hits in first.candidates] == ["f0", "f1"]
    assert [len(hits) for hits in first.candidates] == [3, 3]
    assert [hit.face_id for hit in second.candidates[0]] == ["f5"]
    assert set(second.searched) == {"A"}


NAN = np.full(128, np.nan, dtype="<f4").tobytes()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", (400, "MALFORMED_BODY", "body")),
        (b"\xc1 no msgpack", (400, "MALFORMED_BODY", "body")),
        (ormsgpack.packb([1, 2]), (400, "MALFORMED_BODY", "body")),
        (ormsgpack.packb({**CALL, "queries": 7}), (400, "MALFORMED_BODY", "body")),
        (ormsgpack.packb({**CALL, "remaining_ms": float("inf")}), (400, "MALFORMED_BODY", "body")),
        (ormsgpack.packb({**CALL, "scopes": [{"A": 7}]}), (400, "MALFORMED_BODY", "body")),
        (ormsgpack.packb({**CALL, "queries": [[1, 2, 3, False, None]]}), (400, "MALFORMED_BODY", "body")),
        (ormsgpack.packb({**CALL, "queries": [[0, 3, 3, False, None]]}), (400, "MALFORMED_BODY", "body")),
        (ormsgpack.packb({**CALL, "queries": [[0, 2, 3, False, ["A"]]]}), (400, "MALFORMED_BODY", "body")),
        (ormsgpack.packb(CALL | {"probes": b"123"}), (400, "MALFORMED_BODY", "probes")),
        (ormsgpack.packb(CALL | {"probes": b""}), (400, "MALFORMED_BODY", "probes")),
        (ormsgpack.packb(CALL | {"d": 0}), (400, "MALFORMED_BODY", "probes")),
        (ormsgpack.packb(CALL | {"probes": 2 * NAN}), (400, "MALFORMED_BODY", "probes")),
        (ormsgpack.packb({**CALL, "queries": [[0, 2, 0, False, None]]}), (400, "MALFORMED_BODY", "k")),
        (ormsgpack.packb({**CALL, "queries": [[0, 2, 101, False, None]]}), (400, "MALFORMED_BODY", "k")),
        (
            ormsgpack.packb(CALL | {"d": 64, "probes": unit(2, dimension=64).tobytes()}),
            (422, "WRONG_SPACE", "space"),
        ),
        (ormsgpack.packb({**CALL, "space": "unknown"}), (422, "WRONG_SPACE", "space")),
        (ormsgpack.packb({**CALL, "remaining_ms": 0}), (504, "DEADLINE_EXCEEDED", "remaining_ms")),
        (ormsgpack.packb({**CALL, "remaining_ms": -5}), (504, "DEADLINE_EXCEEDED", "remaining_ms")),
    ],
)
async def test_a_bad_search_call_is_a_problem_that_names_the_field(
    one: Running, body: bytes, expected: tuple[int, str, str]
) -> None:
    assert problem(await one.post("/search", body)) == expected
    assert (await one.post("/search", ormsgpack.packb(CALL))).status_code == 200


async def test_a_bad_await_call_is_a_problem(one: Running) -> None:
    for wrong in ({"store": "A"}, {"store": "A", "version": "x", "remaining_ms": 1}, 5):
        assert problem(await one.post("/await", ormsgpack.packb(wrong))) == (400, "MALFORMED_BODY", "body")


async def test_only_msgpack_is_read(one: Running) -> None:
    for path in ("/search", "/await"):
        for headers in ({"Content-Type": "application/json"}, {"Content-Type": "application/x-python-pickle"}):
            response = await one.http.post(path, content=ormsgpack.packb(CALL), headers=headers)
            assert problem(response) == (415, "UNSUPPORTED_MEDIA_TYPE", "content-type")
        assert problem(await one.http.post(path, content=b"")) == (415, "UNSUPPORTED_MEDIA_TYPE", "content-type")


async def test_paths_and_methods_that_are_not_there_are_problems(one: Running) -> None:
    assert problem(await one.http.get("/docs"))[:2] == (404, "NOT_FOUND")
    assert problem(await one.http.get("/openapi.json"))[:2] == (404, "NOT_FOUND")
    assert problem(await one.http.get("/status/"))[:2] == (404, "NOT_FOUND")
    assert problem(await one.http.get("/search"))[:2] == (405, "METHOD_NOT_ALLOWED")


async def test_a_body_over_the_limit_is_refused_declared_or_streamed(redis: Redis, redis_url: str) -> None:
    assert redis is not None
    settings = settings_for(redis_url).model_copy(update={"wire_bytes": 1_000_000})

    async def stream() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield bytes(100_000)

    async with running(settings) as one:
        assert problem(await one.post("/search", bytes(1_000_001))) == (413, "BODY_TOO_LARGE", "body")
        streamed = await one.http.post("/search", content=stream(), headers={"Content-Type": wire.CONTENT_TYPE})
        assert problem(streamed) == (413, "BODY_TOO_LARGE", "body")


async def test_without_the_cluster_key_only_health_is_answered(redis: Redis, redis_url: str) -> None:
    assert redis is not None
    settings = settings_for(redis_url).model_copy(update={"cluster_key": "the-key"})
    async with ready(settings) as one:
        for wrong in ({}, {"X-API-Key": "another"}, {"X-API-Key": ""}):
            for method, path in (("POST", "/search"), ("POST", "/await"), ("GET", "/status")):
                assert problem(await one.http.request(method, path, headers=wrong))[:2] == (401, "UNAUTHORIZED")
        assert (await one.http.get("/healthz")).json() == {"status": "ok"}
        assert (await one.http.get("/readyz")).json() == {"status": "ready"}
        one.http.headers["X-API-Key"] = "the-key"
        assert (await one.http.get("/status")).status_code == 200
        assert (await one.search([], ROWS[:1])).searched == {}


async def test_without_a_cluster_key_no_web_site_is_answered(one: Running) -> None:
    for headers in (
        {"Host": "evil.example"},
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
    ):
        assert problem(await one.http.get("/status", headers=headers))[:2] == (401, "UNAUTHORIZED")
        call = await one.http.post("/search", content=ormsgpack.packb(CALL), headers=headers)
        assert problem(call)[:2] == (401, "UNAUTHORIZED")
    for host in ("127.0.0.1:8100", "localhost"):
        assert (await one.http.get("/status", headers={"Host": host})).status_code == 200
    assert problem(await one.http.get("/status", headers={"Host": "s1:8100"}))[:2] == (401, "UNAUTHORIZED")


async def test_a_shard_is_called_by_the_name_that_it_tells_gateways(redis: Redis, redis_url: str) -> None:
    assert redis is not None
    settings = settings_for(redis_url).model_copy(update={"advertise_url": "http://s1:8100"})
    async with running(settings) as one:
        assert (await one.http.get("/status", headers={"Host": "s1:8100"})).status_code == 200


async def test_the_status_tells_versions_and_rows_and_no_face(one: Running) -> None:
    await eventually(lambda: one.replica.follower.truth_answers)
    body = (await one.http.get("/status")).json()
    assert len(body.pop("boot")) == 32
    assert body == {
        "shard": "s1",
        "replica": "a",
        "state": "ready",
        "truth": "ok",
        "rows": 10,
        "stores": {"A": {"version": 10, "rows": 10}},
        "groups": [{"group": "default", "space": DLIB_SPACE, "rows": 10, "index": "flat", "coded": 0, "recall": None}],
        "missing": [],
    }


async def test_calls_at_the_same_time_are_all_answered(one: Running) -> None:
    replies = await asyncio.gather(*(one.search(["A"], ROWS[at : at + 1], 1) for at in range(10) for _ in range(5)))
    assert [reply.candidates[0][0].face_id for reply in replies] == [f"f{at}" for at in range(10) for _ in range(5)]
