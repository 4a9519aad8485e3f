"""Sightings through real shards in process: counted once, never the wrong one, never lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import AsyncMock

import httpx
import numpy as np
import pytest
from redis.asyncio import Redis

from common import keys
from common.pending import Waiting
from common.scan import START
from common.types import Kind, Vectors
from gateway.resolver import Resolver
from tests.gateway.in_process import Cluster, cluster, unit

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
async def running(redis_url: str) -> AsyncIterator[Cluster]:
    """Store A on s1, store B on s2, both served."""
    async with cluster(redis_url, shards=2) as started:
        for store, shard in (("A", "s1"), ("B", "s2")):
            await started.create(store, shard=shard)
        await until_served(started)
        yield started


async def until_served(running: Cluster) -> None:
    async with asyncio.timeout(10):
        while (await search(running, "A", unit(99)))["results"][0]["verdict"] != "no_match":
            await asyncio.sleep(0.01)


async def search(running: Cluster, store: str, probe: Vectors) -> dict[str, Any]:
    response = await running.http.post(f"/v1/stores/{store}/search", json={"embeddings": probe.tolist()})
    if response.status_code != 200:
        return {"results": [{"verdict": response.json()["code"]}]}
    found: dict[str, Any] = response.json()
    return found


async def sight(
    running: Cluster, store: str, probes: Vectors, minutes: float = 0, **fields: object
) -> list[dict[str, Any]]:
    """The faces of the answer; `minutes` before now."""
    at = (NOW - timedelta(minutes=minutes)).isoformat()
    body = {"embeddings": probes.tolist(), "at": at, **fields}
    response = await running.http.post(f"/v1/stores/{store}/sightings", json=body)
    assert response.status_code == 200, response.text
    faces: list[dict[str, Any]] = response.json()["faces"]
    return faces


async def faces_of(running: Cluster, *stores: str) -> int:
    return sum((await running.services.ledger.counts(stores)).values())


def near(row: Vectors, score: float, seed: int = 5) -> Vectors:
    """A unit vector at this cosine from the row (1, d), as (1, d)."""
    other = unit(seed)
    aside = other - (other @ row.T) * row
    aside /= np.linalg.norm(aside)
    turned = score * row + np.sqrt(1 - score**2) * aside
    return np.ascontiguousarray(turned, dtype=np.float32)


async def test_a_stranger_is_enrolled_and_is_known_the_next_time_everywhere(running: Cluster) -> None:
    (first,) = await sight(running, "A", unit(1), 200)
    (again,) = await sight(running, "A", unit(1), 190)
    (elsewhere,) = await sight(running, "B", unit(1), 30)
    assert (first["outcome"], first["verdict"], first["new"]) == ("counted", "no_match", True)
    assert (again["verdict"], again["new"], again["visit"]["started"]) == ("match", False, False)
    assert (elsewhere["store"], elsewhere["face_id"], elsewhere["new"]) == ("A", first["face_id"], False)
    assert elsewhere["visit"]["started"]
    assert await faces_of(running, "A", "B") == 1


async def test_the_same_sighting_sent_again_says_and_changes_the_same(running: Cluster, redis: Redis) -> None:
    (first,) = await sight(running, "A", unit(1), 10)
    before = await redis.hgetall(keys.visits("A", NOW.date().isoformat()))
    (again,) = await sight(running, "A", unit(1), 10)
    assert (again["face_id"], again["new"], again["visit"]["start"]) == (
        first["face_id"],
        True,
        first["visit"]["start"],
    )
    assert await redis.hgetall(keys.visits("A", NOW.date().isoformat())) == before
    assert await redis.xlen(keys.events("A")) == 1


async def test_two_faces_of_one_picture_never_become_one_person(running: Cluster) -> None:
    await sight(running, "A", unit(1), 60)
    twins = np.concatenate([unit(1), near(unit(1), 0.99)])
    one, other = await sight(running, "A", twins, 10)
    assert (one["verdict"], other["verdict"]) == ("match", "no_match")
    assert one["face_id"] != other["face_id"]
    strangers = np.concatenate([unit(2), near(unit(2), 0.99)])
    assert len({face["face_id"] for face in await sight(running, "A", strangers, 5)}) == 2
    assert await faces_of(running, "A") == 4


async def test_a_track_is_one_person(running: Cluster) -> None:
    photos = np.concatenate([unit(1), near(unit(1), 0.97, 6), near(unit(1), 0.97, 7)])
    faces = await sight(running, "A", photos, track="t1")
    assert len(faces) == 1
    (mean,) = await sight(running, "A", unit(1))
    assert (mean["face_id"], mean["verdict"]) == (faces[0]["face_id"], "match")


async def test_a_track_of_two_people_is_refused_with_the_scores(running: Cluster) -> None:
    body = {"embeddings": unit(3, 2).tolist(), "track": "t1"}
    response = await running.http.post("/v1/stores/A/sightings", json=body)
    assert (response.status_code, response.json()["code"]) == (422, "MIXED_TRACK")
    assert len(response.json()["scores"]) == 2
    assert await faces_of(running, "A", "B") == 0


async def test_staff_are_known_and_not_announced(running: Cluster, redis: Redis) -> None:
    await running.enrol("A", unit(1), face_id="eve", kind="staff")
    (face,) = await sight(running, "A", unit(1))
    assert (face["outcome"], face["kind"], face["face_id"]) == ("staff", Kind.STAFF, "eve")
    assert await redis.xlen(keys.events("A")) == 0


async def test_an_incomplete_search_waits_and_is_settled_with_its_own_time(running: Cluster, redis: Redis) -> None:
    apps = running.shards.apps
    gone = apps.pop("s2-a")
    (face,) = await sight(running, "A", unit(1), 50)
    assert (face["outcome"], face["verdict"], face["visit"]) == ("pending", "inconclusive", None)
    assert await faces_of(running, "A", "B") == 0
    apps["s2-a"] = gone
    await until_settled(running)
    (again,) = await sight(running, "A", unit(1), 40)
    assert (again["verdict"], again["new"], again["visit"]["started"]) == ("match", False, False)
    assert datetime.fromisoformat(again["visit"]["start"]) == NOW - timedelta(minutes=50)
    (event,) = await events_of(redis)
    assert (event[b"t"], event[b"l"]) == (b"new_visitor", b"1")


async def events_of(redis: Redis) -> list[dict[bytes, bytes]]:
    entries: Any = await redis.xrange(keys.events("A"))
    return [fields for _, fields in entries]


async def until_settled(running: Cluster) -> None:
    async with asyncio.timeout(15):
        while sum((await running.services.pending.counts(["A", "B"])).values()):
            await asyncio.sleep(0.02)


async def test_strangers_behind_a_waiting_one_are_enrolled_in_the_order_they_came(running: Cluster) -> None:
    apps = running.shards.apps
    gone = apps.pop("s2-a")
    probes = [unit(seed) for seed in (1, 2, 1, 2)]
    for minutes, probe in zip((50, 40, 30, 20), probes, strict=True):
        (face,) = await sight(running, "A", probe, minutes)
        assert face["outcome"] == "pending"
    apps["s2-a"] = gone
    await sight(running, "A", unit(1), 10)
    await until_settled(running)
    assert await faces_of(running, "A", "B") == 2


async def test_two_of_one_picture_are_two_though_each_is_settled_by_another_leader(
    running: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They look alike, and the first leader dies between them."""
    services = running.services
    monkeypatch.setattr(services.resolver, "turn", AsyncMock(return_value=0))
    gone = running.shards.apps.pop("s2-a")
    faces = await sight(running, "A", np.concatenate([unit(1), near(unit(1), 0.99), near(unit(1), 0.98)]))
    assert [face["outcome"] for face in faces] == ["pending"] * 3
    running.shards.apps["s2-a"] = gone
    async with asyncio.timeout(15):
        for left in (2, 1, 0):
            leader = Resolver(services.view, services.pending, services.sighter, deadline_s=5)
            while not await leader.turn():
                await asyncio.sleep(0.02)
            assert await services.pending.counts(["A"]) == {"A": left}
    assert await faces_of(running, "A", "B") == 3


async def test_a_picture_is_read_whole_though_as_many_were_not_asked_for(running: Cluster) -> None:
    store, pending = running.services.view.stores["A"], running.services.pending
    running.shards.apps.pop("s2-a")
    for at, picture in enumerate(["", "", "p", "p", "p", "q"]):
        await pending.add(store, Waiting(unit(at)[0], at, picture=picture))
    for count, found in ((1, 1), (2, 2), (3, 5), (4, 5), (5, 5), (6, 6), (7, 6)):
        assert [one.at_ms for one in await pending.entries("A", count)] == list(range(found))


async def test_a_match_that_somebody_not_searched_could_beat_is_told_and_then_corrected(
    running: Cluster, redis: Redis
) -> None:
    async with asyncio.timeout(10):
        await running.create("C", shard="s1")
        await running.enrol("B", near(unit(1), 0.99), face_id="right")
        await running.enrol("C", near(unit(1), 0.97), face_id="wrong")
    apps = running.shards.apps
    gone = apps.pop("s2-a")
    (face,) = await sight(running, "A", unit(1))
    assert (face["outcome"], face["face_id"]) == ("pending", "wrong")
    apps["s2-a"] = gone
    await until_settled(running)
    first, second = await events_of(redis)
    assert (first[b"t"], first[b"p"], first[b"k"].endswith(b"/wrong")) == (b"arrival", b"1", True)
    assert (second[b"t"], second[b"w"], second[b"k"].endswith(b"/right")) == (b"correction", first[b"k"], True)


async def test_a_match_at_home_needs_nobody_else(running: Cluster) -> None:
    await running.enrol("A", unit(1), face_id="ada")
    running.shards.apps.pop("s2-a")
    (face,) = await sight(running, "A", unit(1))
    assert (face["outcome"], face["face_id"]) == ("counted", "ada")


async def test_many_cameras_at_once_make_one_face(running: Cluster) -> None:
    shots = [near(unit(7), 0.985, seed) for seed in range(20, 36)]
    answers = await asyncio.gather(*(sight(running, "A", shot) for shot in shots))
    assert len({faces[0]["face_id"] for faces in answers}) == 1
    assert await faces_of(running, "A", "B") == 1


async def test_a_returning_visitor_gets_a_template_once_and_only_if_it_shows_something_new(running: Cluster) -> None:
    (first,) = await sight(running, "A", unit(1), 300)
    for minutes, probe in ((200, near(unit(1), 0.97)), (100, near(unit(1), 0.999)), (99, near(unit(1), 0.97, 9))):
        await sight(running, "A", probe, minutes)  # the third time within the second visit
        await running.services.sighter.settled()
    face = await running.services.ledger.face("A", first["face_id"])
    assert face is not None
    assert face.record.templates == 2


async def test_visits_that_begin_together_each_bring_their_template(running: Cluster) -> None:
    people = range(20, 28)
    for minutes, score in ((300, 0.999), (100, 0.97)):
        await asyncio.gather(*(sight(running, "AB"[one % 2], near(unit(one), score), minutes) for one in people))
        await running.services.sighter.settled()
    faces = [face for store in "AB" for face in (await running.services.ledger.page(store, START, 100))[1].values()]
    assert [face.templates for face in faces] == [2] * len(people)


async def test_a_stricter_store_of_the_group_keeps_no_other_from_learning(running: Cluster) -> None:
    await running.create("strict", target_fpir=1e-6)
    await until_served(running)
    (first,) = await sight(running, "A", unit(2), 300)
    await sight(running, "strict", unit(1), 300)
    await sight(running, "strict", near(unit(1), 0.98), 200)  # all are searched, and what a match needs there is noted
    await running.services.sighter.settled()
    await sight(running, "A", near(unit(2), 0.95), 100)
    await running.services.sighter.settled()
    face = await running.services.ledger.face("A", first["face_id"])
    assert face is not None
    assert face.record.templates == 2


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"at": (NOW + timedelta(days=1)).isoformat()}, "at"),
        ({"at": (NOW - timedelta(days=36)).isoformat()}, "at"),
        ({"at": "2026-11-20T09:00:00"}, "at"),
        ({"at": "yesterday"}, "at"),
        ({"at": str(int(NOW.timestamp()))}, "at"),
        ({"at": int(NOW.timestamp())}, "at"),
        ({"camera": "door 1"}, "camera"),
        ({"camera": ""}, "camera"),
        ({"track": "a/b"}, "track"),
        ({"embeddings": []}, "embeddings"),
        ({"embeddings": [[0.0] * 128]}, "embeddings[0]"),
        ({"embeddings": [[1.0] * 127]}, "embeddings[0]"),
        ({"when": "now"}, "when"),
    ],
)
async def test_bad_input_is_named_and_changes_nothing(running: Cluster, fields: dict[str, object], field: str) -> None:
    body = {"embeddings": unit(1).tolist()} | fields
    response = await running.http.post("/v1/stores/A/sightings", json=body)
    assert response.status_code == 422
    assert response.json()["field"].startswith(field.partition("[")[0])
    assert await faces_of(running, "A", "B") == 0


async def test_raw_floats_take_their_fields_from_the_query(running: Cluster) -> None:
    async def post(query: str) -> httpx.Response:
        headers = {"content-type": "application/octet-stream"}
        return await running.http.post(f"/v1/stores/A/sightings{query}", content=unit(1).tobytes(), headers=headers)

    answer = await post(f"?camera=door&at={(NOW - timedelta(minutes=1)).strftime('%Y-%m-%dT%H:%M:%SZ')}")
    assert (answer.status_code, answer.json()["camera"]) == (200, "door")
    assert (await post("?colour=red")).json()["field"] == "colour"
    misplaced = await running.http.post("/v1/stores/A/sightings?camera=door", json={"embeddings": unit(1).tolist()})
    assert (misplaced.status_code, misplaced.json()["field"]) == (422, "camera")


async def test_more_sightings_than_may_wait_are_refused(redis_url: str) -> None:
    async with cluster(redis_url, shards=1, pending_limit=2) as running:
        await running.create("A", shard="s1")
        await until_served(running)
        running.shards.apps.pop("s1-a")
        for seed in (1, 2):
            await sight(running, "A", unit(seed))
        response = await running.http.post("/v1/stores/A/sightings", json={"embeddings": unit(3).tolist()})
        assert (response.status_code, response.json()["code"]) == (503, "PENDING_FULL")


async def test_without_redis_nothing_is_claimed(redis_url: str) -> None:
    async with cluster(redis_url, shards=1) as running:
        response = await running.http.post("/v1/stores/nowhere/sightings", json={"embeddings": unit(3).tolist()})
        assert (response.status_code, response.json()["code"]) == (404, "UNKNOWN_STORE")
