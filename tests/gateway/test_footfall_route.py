"""`GET /v1/footfall` over HTTP: the answer as JSON and as CSV, and every way to ask wrongly."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from gateway.schemas.footfall import COLUMNS
from tests.gateway.in_process import Cluster, cluster, unit

NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=2)
DAY = {"from": f"{NOON:%Y-%m-%d}", "to": f"{NOON + timedelta(days=1):%Y-%m-%d}"}


@pytest.fixture
async def running(redis_url: str) -> AsyncIterator[Cluster]:
    """Two stores; ada at both, bob at one."""
    async with cluster(redis_url, shards=1) as found:
        rows = unit(5, 2)
        for store in ("A", "B"):
            await found.create(store)
            await found.enrol(store, unit(50 + ord(store)), face_id="somebody")
        for store, person, minutes in (("A", 0, 0), ("A", 0, 12), ("A", 1, 100), ("B", 0, 300)):
            body = {"embeddings": [rows[person].tolist()], "at": (NOON + timedelta(minutes=minutes)).isoformat()}
            answer = await found.http.post(f"/v1/stores/{store}/sightings", json=body)
            assert [face["outcome"] for face in answer.json()["faces"]] == ["counted"], answer.text
        yield found


async def test_a_group_is_told_store_by_store_and_together(running: Cluster) -> None:
    answer = await running.http.get("/v1/footfall", params=DAY | {"group": "default", "bucket": "hour"})
    body = answer.json()
    assert answer.status_code == 200, answer.text
    assert [(row["store"], row["total"]["pv"], row["total"]["uv"]) for row in body["stores"]] == [
        ("A", 2, 2),
        ("B", 1, 1),
    ]
    chain = body["chain"]["total"]
    assert (chain["pv"], chain["uv"], chain["new"], chain["returning"]) == (3, 2, 2, 0)
    assert body["stores"][0]["total"]["dwell"] == {"average_s": 360.0, "median_s": 360.0}
    assert body["overlap"] == [{"store": "A", "other": "B", "visitors": 1, "error": None}]
    assert (body["exact"], body["error"], body["timezone"]) == (True, None, "UTC")
    assert [one["start"][11:13] for one in body["stores"][0]["buckets"] if one["pv"]] == ["12", "13"]
    assert len(body["stores"][0]["buckets"]) == 24


async def test_a_store_is_told_without_a_chain(running: Cluster) -> None:
    body = (await running.http.get("/v1/footfall", params=DAY | {"store": "B"})).json()
    assert ([row["store"] for row in body["stores"]], body["chain"], body["overlap"]) == (["B"], None, None)
    assert body["stores"][0]["buckets"] == []


async def test_csv_has_a_row_for_each_store_and_bucket_and_then_those_of_the_chain(running: Cluster) -> None:
    answer = await running.http.get("/v1/footfall", params=DAY | {"group": "default", "bucket": "day", "format": "csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert tuple(rows[0]) == COLUMNS
    assert [(row["store"], row["pv"], row["uv"], row["exact"]) for row in rows] == [
        ("A", "2", "2", "true"),
        ("B", "1", "1", "true"),
        ("*", "3", "2", "true"),
    ]
    assert rows[0]["start"] == f"{NOON:%Y-%m-%d}T00:00:00+00:00"


async def test_csv_without_buckets_has_the_totals_and_leaves_empty_what_there_is_not(running: Cluster) -> None:
    query = {"store": "B", "from": "2026-01-01", "to": "2026-01-02", "format": "csv"}
    (row,) = csv.DictReader(io.StringIO((await running.http.get("/v1/footfall", params=query)).text))
    assert (row["pv"], row["dwell_average_s"], row["dwell_median_s"]) == ("0", "", "")


async def test_left_out_is_today_so_far(running: Cluster) -> None:
    body = (await running.http.get("/v1/footfall", params={"store": "A", "timezone": "Asia/Kathmandu"})).json()
    assert body["start"].endswith("T00:00:00+05:45")
    assert abs(datetime.fromisoformat(body["end"]) - datetime.now(UTC)) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ({}, 422, "store"),
        ({"store": "A", "group": "default"}, 422, "store"),
        ({"store": "Z"}, 404, "store"),
        ({"group": "Z"}, 404, "group"),
        ({"store": "a/b"}, 422, "store"),
        ({"group": "a b"}, 422, "group"),
        ({"store": "A", "from": "yesterday"}, 422, "from"),
        ({"store": "A", "to": "2026-11-20T09:00:00"}, 422, "to"),
        ({"store": "A", "from": "2" * 41}, 422, "from"),
        ({"store": "A", "from": "2026-02-01", "to": "2026-01-01"}, 422, "from"),
        ({"store": "A", "from": "2012-01-01"}, 422, "from"),
        ({"store": "A", "from": "2024-01-01", "to": "2026-01-01", "bucket": "hour"}, 422, "bucket"),
        ({"store": "A", "bucket": "year"}, 422, "bucket"),
        ({"store": "A", "format": "xml"}, 422, "format"),
        ({"store": "A", "timezone": "Mars/Crater"}, 422, "timezone"),
        ({"store": "A", "timezone": "x" * 65}, 422, "timezone"),
        ({"store": "A", "bukket": "day"}, 422, "bukket"),
    ],
)
async def test_what_is_asked_wrongly_is_refused_by_name(
    running: Cluster, query: dict[str, str], status: int, field: str
) -> None:
    answer = await running.http.get("/v1/footfall", params=query)
    assert (answer.status_code, answer.json()["field"]) == (status, field)
