"""A store changes its embedding space: searched throughout, nothing lost, and nobody passed over in silence."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis.asyncio import Redis

from common import keys
from common.cluster_map import ClusterMap
from common.errors import Conflict, InvalidImage, SpaceChanging
from common.incarnations import anonymous, creation
from common.ledger import Put
from common.migrations import Flip, Migrations
from common.pending import Waiting
from common.records import FaceRecord, pack_vectors
from common.types import Kind, Vectors, Wait
from gateway.deadline import Deadline
from gateway.enrol import Enrolment
from gateway.flips import Flips
from tests.gateway.in_process import Cluster, cluster, shard_app, unit
from tests.gateway.remains import Fault, naming

OLD, NEW = "dlib-resnet-v1", "small-v1"
DIMENSION = 64
PEOPLE = {"ada": 1, "bob": 2, "cid": 3}
"""face id → seed of its embeddings in both spaces"""
EVERYBODY = {face_id: face_id for face_id in PEOPLE}
JUNK = b"no picture"
STEPS: list[tuple[type, str]] = [
    (Migrations, "flipped_into"),
    (Migrations, "begin"),
    (Migrations, "following"),
    (Migrations, "unstaged"),
    (Migrations, "stage"),
    (Migrations, "flip"),
    (ClusterMap, "update"),
    (Migrations, "counts"),
]
STEPS_OF_THREE = 11
"""calls of those that taking the store of the fixture to another space makes; a test compares"""


class Thumbnails:
    """Stands for the encoder where no photo is: a thumbnail is the seed of its embedding."""

    async def encode_thumbnail(self, jpeg: bytes, space: str) -> Vectors:
        assert space == NEW
        if jpeg == JUNK:
            raise InvalidImage("It is no picture.", field="thumbnail")
        row: Vectors = small(int(jpeg))[0]
        return row


def small(seed: int) -> Vectors:
    """(1, 64) in the new space."""
    row = np.random.default_rng(seed).normal(size=(1, DIMENSION))
    return np.ascontiguousarray(row / np.linalg.norm(row, axis=1, keepdims=True), dtype=np.float32)


def with_models(folder: Path) -> str:
    """A folder with the manifest of one more space, whose model nobody loads here."""
    manifest = {
        "kind": "encoder",
        "space": NEW,
        "file": "small.onnx",
        "sha256": "0" * 64,
        "dimension": DIMENSION,
        "input": {"size": 32, "layout": "NCHW", "channels": "RGB", "mean": [0, 0, 0], "std": [1, 1, 1]},
        "alignment": "box",
        "curve": json.loads((resources.files("gateway") / "curves" / f"{OLD}.json").read_text()),
    }
    (folder / "small.json").write_text(json.dumps(manifest))
    return str(folder)


LEADERS_TURN = Flips.turn


async def nothing(_: Flips) -> None:
    pass


@pytest.fixture
async def chain(redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cluster]:
    """Three people at A, with thumbnails; B is another store of the group, on another shard. The leader repairs nothing
    by itself."""
    monkeypatch.setattr(Flips, "turn", nothing)
    async with cluster(redis_url, shards=2, models=with_models(tmp_path)) as running:
        running.services.migrator._encoder = Thumbnails()  # type: ignore[assignment]  # in place of processes and models
        await running.create("A", shard="s1")
        await running.create("B", shard="s2")
        await keep_people(running)
        yield running


async def keep_people(running: Cluster, store: str = "A") -> None:
    for face_id, seed in PEOPLE.items():
        await keep(running, face_id, seed, str(seed).encode(), store=store)


async def keep(
    running: Cluster, face_id: str, seed: int, thumbnail: bytes | None, kind: Kind | None = None, store: str = "A"
) -> None:
    home = await running.services.view.store(store)
    new = Enrolment(unit(seed), face_id, kind, thumbnail=thumbnail)
    async with Deadline(5) as deadline:
        await running.services.enroller.enrol(home, new, None, Wait.VISIBLE, deadline)


async def migrate(running: Cluster, store: str = "A", to: str = NEW, **options: object) -> dict[str, Any]:
    response = await running.http.post(f"/v1/stores/{store}/migration", json={"to": to, **options})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def status(running: Cluster) -> dict[str, Any]:
    answer: dict[str, Any] = (await running.http.get("/v1/stores/A/migration")).json()
    return answer


async def who(running: Cluster, probe: Vectors, store: str = "A") -> tuple[str, str | None]:
    """The verdict, and the face that matched; what was not answered is the code."""
    answer = (await running.http.post(f"/v1/stores/{store}/search", json={"embeddings": probe.tolist()})).json()
    if "code" in answer:
        return answer["code"], None
    (result,) = answer["results"]
    matched = result["verdict"] == "match"
    return result["verdict"], result["candidates"][0]["face_id"] if matched else None


async def everybody(running: Cluster, rows: Callable[[int], Vectors], store: str = "A") -> dict[str, str | None]:
    return {face_id: (await who(running, rows(seed), store))[1] for face_id, seed in PEOPLE.items()}


async def test_a_store_is_searched_in_the_old_space_and_then_in_the_new_one(chain: Cluster) -> None:
    assert await everybody(chain, unit) == EVERYBODY
    answer = await migrate(chain)
    assert (answer["state"], answer["flipped"], answer["done"], answer["left"]) == ("done", True, 3, 0)
    assert (await chain.http.get("/v1/stores/A")).json()["space"] == NEW
    assert await everybody(chain, small) == EVERYBODY
    assert await who(chain, small(99)) == ("no_match", None)
    assert await who(chain, unit(1)) == ("WRONG_DIMENSION", None)
    assert (await migrate(chain))["state"] == "done"


async def test_only_a_space_that_there_is(chain: Cluster) -> None:
    response = await chain.http.post("/v1/stores/A/migration", json={"to": "none-such"})
    assert (response.status_code, response.json()["code"]) == (422, "UNKNOWN_SPACE")
    assert (await status(chain))["state"] == "idle"


async def test_a_fixed_threshold_of_the_old_space_is_forgotten(chain: Cluster) -> None:
    await chain.http.put("/v1/stores/A", json={"threshold": 0.97})
    await migrate(chain)
    assert (await chain.http.get("/v1/stores/A")).json()["threshold"] is None


@pytest.mark.parametrize("thumbnail", [None, JUNK])
async def test_who_has_no_usable_thumbnail_is_named_and_nothing_changes(
    chain: Cluster, thumbnail: bytes | None
) -> None:
    await keep(chain, "eve", 5, thumbnail, Kind.STAFF)
    for answer in (await migrate(chain), await status(chain)):
        assert (answer["state"], answer["flipped"], answer["done"], answer["left"]) == ("photos_missing", False, 4, 0)
        assert answer["without_thumbnail"] == [{"face_id": "eve", "kind": "staff", "member_id": None}]
    assert await who(chain, unit(5)) == ("match", "eve")
    assert (await chain.http.get("/v1/stores/A")).json()["space"] == OLD


async def test_one_photographed_meanwhile_is_not_missing_any_more(chain: Cluster) -> None:
    await keep(chain, "eve", 5, None)
    await migrate(chain)
    await keep(chain, "eve", 5, b"5")
    assert (await migrate(chain))["state"] == "done"
    assert await who(chain, small(5)) == ("match", "eve")


async def test_who_is_left_behind_stays_a_face_and_comes_back_with_a_photo(chain: Cluster) -> None:
    await keep(chain, "eve", 5, None)
    await chain.http.put("/v1/members/m-5", json={"display_name": "Eve"})
    await chain.http.put("/v1/members/m-5/faces/A/eve")
    created = (await chain.http.get("/v1/stores/A/faces/eve")).json()["created"]
    assert (await migrate(chain, leave_behind=True))["state"] == "done"
    for _ in range(2):  # a change that is no photo changes nothing about it
        assert (await status(chain))["without_thumbnail"] == [{"face_id": "eve", "kind": "member", "member_id": "m-5"}]
        assert await who(chain, small(5)) == ("no_match", None)
        response = await chain.http.patch("/v1/stores/A/faces/eve", json={"labels": {"door": "north"}})
        assert (response.status_code, response.json()["templates"]) == (200, 0)

    back = await chain.enrol("A", small(5), face_id="eve")
    assert (back["new"], back["templates"], back["created"], back["member_id"]) == (False, 1, created, "m-5")
    assert await who(chain, small(5)) == ("match", "eve")
    assert (await status(chain))["without_thumbnail_count"] == 0


async def test_a_face_without_templates_can_be_looked_at_merged_and_erased(chain: Cluster) -> None:
    for face_id, seed in (("eve", 5), ("fay", 6), ("gus", 7)):
        await keep(chain, face_id, seed, None)
    await migrate(chain, leave_behind=True)
    assert (await chain.http.get("/v1/stores/A/faces/eve/templates")).json()["templates"] == []
    body = {"embeddings": small(5).tolist(), "store": "A", "face_id": "eve"}
    assert (await chain.http.post("/v1/verify", json=body)).json()["code"] == "UNKNOWN_FACE"
    split = await chain.http.post("/v1/stores/A/faces/eve/split", json={"templates": [0]})
    assert split.json()["code"] == "INVALID_REQUEST"

    assert (await merge(chain, "eve", "fay"))["templates"] == 0
    assert (await merge(chain, "eve", "ada"))["templates"] == 1
    assert await who(chain, small(1)) == ("match", "eve")
    assert (await chain.http.delete("/v1/stores/A/faces/gus")).status_code == 200
    assert (await status(chain))["without_thumbnail_count"] == 0


async def merge(running: Cluster, into: str, gone: str) -> dict[str, Any]:
    names = {"into": {"store": "A", "face_id": into}, "from": {"store": "A", "face_id": gone}}
    response = await running.http.post("/v1/faces/merge", json=names)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def see(running: Cluster, rows: Vectors, at: datetime) -> dict[str, Any]:
    body = {"embeddings": rows.tolist(), "at": at.isoformat()}
    response = await running.http.post("/v1/stores/A/sightings", json=body)
    assert response.status_code == 200, response.text
    face: dict[str, Any] = response.json()["faces"][0]
    return face


async def test_visits_and_members_go_on(chain: Cluster) -> None:
    """Seen before and after within one visit, she was there once, and still is the same person and the same member."""
    await chain.http.put("/v1/members/m-1", json={"display_name": "Ada"})
    await chain.http.put("/v1/members/m-1/faces/A/ada")
    start = datetime.now(UTC).replace(hour=10) - timedelta(days=2)  # visits are kept by date
    await see(chain, unit(1), start)
    await migrate(chain)
    await see(chain, small(1), start + timedelta(minutes=10))
    visits = chain.services.visits
    (intervals,) = (await visits.intervals("A", sorted(await visits.dates("A")))).values()
    assert [end - begin for begin, end in intervals] == [600_000]
    faces = (await chain.http.get("/v1/members/m-1/faces")).json()["faces"]
    assert [(face["store"], face["face_id"], face["templates"]) for face in faces] == [("A", "ada", 1)]


async def test_a_stranger_seen_afterwards_is_a_visitor_of_the_new_space(chain: Cluster) -> None:
    await migrate(chain)
    now = datetime.now(UTC)
    first = await see(chain, small(40), now - timedelta(hours=2))
    again = await see(chain, small(40), now - timedelta(hours=1))
    assert (first["new"], again["new"], first["face_id"] == again["face_id"]) == (True, False, True)


async def test_what_is_written_meanwhile_is_in_the_new_space_too(chain: Cluster, redis: Redis) -> None:
    await keep(chain, "eve", 5, None)  # so that it stops with everything staged
    await migrate(chain)
    assert await redis.hlen(keys.staged_faces("A")) == 4
    await chain.http.delete("/v1/stores/A/faces/bob")
    assert await naming(redis, b"bob") == {keys.feed("A"), keys.rekeys("A")}  # nothing staged of him is left either
    await chain.http.patch("/v1/stores/A/faces/ada", json={"labels": {"door": "north"}})
    await keep(chain, "dan", 4, b"4")
    await chain.http.delete("/v1/stores/A/faces/eve")
    assert (await migrate(chain))["state"] == "done"
    assert await who(chain, small(2)) == ("no_match", None)
    assert await who(chain, small(4)) == ("match", "dan")
    ada = (await chain.http.get("/v1/stores/A/faces/ada")).json()
    assert ada["labels"] == {"door": "north"}


async def test_a_write_between_staging_and_flip_is_staged_before_it(
    chain: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Migrations.flip
    outcomes: list[Flip] = []

    async def flip(self: Migrations, *args: Any, **options: Any) -> Flip:
        if not outcomes:
            await keep(chain, "dan", 4, b"4")
        outcomes.append(await real(self, *args, **options))
        return outcomes[-1]

    monkeypatch.setattr(Migrations, "flip", flip)
    assert (await migrate(chain))["state"] == "done"
    assert outcomes == [Flip.CHANGED, Flip.FLIPPED]
    assert await who(chain, small(4)) == ("match", "dan")


async def test_more_faces_than_one_look_takes_and_a_feed_that_was_trimmed(chain: Cluster, redis: Redis) -> None:
    await put_many(chain, range(100, 400))
    await migrate(chain)
    await put_many(chain, range(400, 410))
    await redis.xtrim(keys.feed("A"), maxlen=3, approximate=False)
    answer = await migrate(chain, leave_behind=True)
    assert (answer["state"], answer["done"], answer["without_thumbnail_count"]) == ("done", 313, 310)
    assert await everybody(chain, small) == EVERYBODY
    listed: set[str] = set()
    cursor: str | None = "0"
    while cursor is not None:
        page = (await chain.http.get(f"/v1/stores/A/migration?limit=100&cursor={cursor}")).json()
        listed |= {face["face_id"] for face in page["without_thumbnail"]}
        cursor = page["cursor"]
    assert listed == {f"f{seed}" for seed in range(100, 410)}


async def put_many(running: Cluster, seeds: range) -> None:
    """Without thumbnails, in one commit."""
    home = await running.services.view.store("A")
    records = {f"f{seed}": FaceRecord(unit(seed)[0], OLD, Kind.VISITOR, 1.0, 1.0, templates=1) for seed in seeds}
    puts = [Put(face_id, record.pack(), pack_vectors(record.row)) for face_id, record in records.items()]
    await running.services.ledger.commit("A", home.incarnation, puts=puts)


async def test_the_fault_test_strikes_every_step(chain: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = Fault(monkeypatch, STEPS, at=1000)
    await migrate(chain)
    assert fault.calls == STEPS_OF_THREE


async def test_cut_short_at_any_step_a_repetition_finishes_it(chain: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time at another store."""
    for at in range(STEPS_OF_THREE):
        store = f"A{at}"
        await chain.create(store, group=store, shard="s1")
        await keep_people(chain, store)
        with monkeypatch.context() as patch:
            fault = Fault(patch, STEPS, at)
            response = await chain.http.post(f"/v1/stores/{store}/migration", json={"to": NEW})
            assert (response.status_code, fault.struck) == (503, True)
        assert (await migrate(chain, store))["state"] == "done"
        assert await everybody(chain, small, store) == EVERYBODY


async def cut_short_after_the_flip(chain: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        Fault(patch, [(ClusterMap, "update")], at=0)
        response = await chain.http.post("/v1/stores/A/migration", json={"to": NEW})
        assert response.status_code == 503


async def test_between_flip_and_map_searches_go_on_and_writes_are_refused(
    chain: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cut_short_after_the_flip(chain, monkeypatch)
    assert (await status(chain))["state"] == "flipping"
    assert await everybody(chain, unit) == EVERYBODY
    for body in ({"embeddings": unit(9).tolist()}, {"embeddings": unit(1).tolist(), "face_id": "ada"}):
        refused = await chain.http.post("/v1/stores/A/faces", json=body)
        assert (refused.status_code, refused.json()["code"]) == (503, "SPACE_CHANGING")
    assert (await see(chain, unit(1), datetime.now(UTC)))["outcome"] == "counted"  # a visit has no embedding


async def test_the_leader_finishes_what_a_gateway_left_after_the_flip(
    chain: Cluster, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cut_short_after_the_flip(chain, monkeypatch)
    await redis.sadd(keys.FLIPS, "gone/0123456789abcdef")
    monkeypatch.setattr(Flips, "turn", LEADERS_TURN)
    async with asyncio.timeout(10):
        while await redis.exists(keys.FLIPS):
            await asyncio.sleep(0.01)
    assert (await status(chain))["space"] == NEW
    async with asyncio.timeout(10):
        while (await who(chain, small(1)))[0] != "match":
            await asyncio.sleep(0.01)
    assert await everybody(chain, small) == EVERYBODY


async def test_the_leader_keeps_an_eye_on_a_store_that_may_yet_be_flipped(chain: Cluster, redis: Redis) -> None:
    await keep(chain, "eve", 5, None)
    await migrate(chain)
    before = chain.services.view.stores["A"].incarnation
    flips = Flips(ClusterMap(redis), Migrations(redis), chain.services.view)
    await LEADERS_TURN(flips)
    assert await redis.smembers(keys.FLIPS) == {f"A/{before}".encode()}
    assert (await chain.http.delete("/v1/stores/A", params={"force": True})).status_code == 204
    await LEADERS_TURN(flips)
    assert await redis.exists(keys.FLIPS) == 0


async def test_one_store_that_cannot_be_finished_does_not_keep_the_others_waiting(
    chain: Cluster, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cut_short_after_the_flip(chain, monkeypatch)
    await chain.create("A0", shard="s1")
    await redis.sadd(keys.FLIPS, f"A0/{chain.services.view.stores['A0'].incarnation}")
    real = Flips.finish

    async def finish(self: Flips, store: Any) -> Any:
        if store.store == "A0":
            raise Conflict("Others keep changing it.")
        return await real(self, store)

    monkeypatch.setattr(Flips, "finish", finish)
    await LEADERS_TURN(Flips(ClusterMap(redis), Migrations(redis), chain.services.view))
    assert (await status(chain))["space"] == NEW


async def test_a_replica_that_starts_between_flip_and_map_serves_no_part_of_the_store(
    chain: Cluster, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cut_short_after_the_flip(chain, monkeypatch)
    chain.shards.apps.pop("s1-a")
    async with shard_app(redis_url, chain.shards, "s1", "b"):
        assert (await who(chain, unit(1)))[0] in {"NOTHING_SEARCHED", "inconclusive"}
        assert (await migrate(chain))["state"] == "done"
        async with asyncio.timeout(10):
            while (await who(chain, small(1)))[0] != "match":
                await asyncio.sleep(0.01)
        assert await everybody(chain, small) == EVERYBODY


async def test_sightings_that_wait_hold_it_up(chain: Cluster) -> None:
    home = chain.services.view.stores["A"]
    pending = chain.services.pending
    await pending.add(home, Waiting(unit(50)[0], int(datetime.now(UTC).timestamp() * 1000)))
    answer = await migrate(chain)
    assert (answer["state"], answer["sightings_waiting"], answer["flipped"]) == ("sightings_wait", 1, False)
    assert (await status(chain))["state"] == "sightings_wait"
    (waiting,) = await pending.entries("A")
    assert await chain.services.visits.record_anonymous(home, anonymous(), waiting.at_ms, waiting.id)
    assert (await migrate(chain))["state"] == "done"


async def test_what_was_prepared_for_the_old_space_is_refused(chain: Cluster) -> None:
    before = chain.services.view.stores["A"]
    await migrate(chain)
    now = chain.services.view.stores["A"]
    assert (creation(before.incarnation), before.incarnation != now.incarnation) == (creation(now.incarnation), True)
    async with Deadline(5) as deadline:
        for face_id in ("ada", "new"):
            with pytest.raises(SpaceChanging):
                await chain.services.enroller.enrol(before, Enrolment(unit(9), face_id), None, Wait.COMMITTED, deadline)
        with pytest.raises(SpaceChanging):
            await chain.services.pending.add(before, Waiting(unit(50)[0], 0))
        with pytest.raises(SpaceChanging):
            await chain.services.enroller.erase(before, "ada", deadline)


async def test_an_erasure_from_before_is_confirmed_by_who_serves_the_store_now(chain: Cluster) -> None:
    receipt = (await chain.http.delete("/v1/stores/A/faces/bob")).json()
    await migrate(chain)
    now = (await chain.http.get(f"/v1/erasures/{receipt['erasure_id']}")).json()
    assert (now["complete"], now["confirmed"]) == (True, ["s1/a"])


async def test_to_the_space_that_it_has_drops_what_was_staged_for_another(chain: Cluster, redis: Redis) -> None:
    await keep(chain, "eve", 5, None)
    await migrate(chain)
    assert await redis.exists(*staged()) == 2  # no templates: the one that each has is its row
    answer = await migrate(chain, to=OLD)
    assert (answer["state"], await redis.exists(*staged(), keys.migration("A"))) == ("done", 0)
    assert (await status(chain))["without_thumbnail_count"] == 0


def staged() -> list[str]:
    return [keys.staged_faces("A"), keys.staged_templates("A"), keys.staged_left_behind("A")]


async def test_nothing_of_a_migration_outlives_its_store(chain: Cluster, redis: Redis) -> None:
    await keep(chain, "eve", 5, None)
    await migrate(chain)
    assert (await chain.http.delete("/v1/stores/A", params={"force": True})).status_code == 204
    assert [key async for key in redis.scan_iter("fg:{A}:*")] == []


async def test_an_empty_store_changes_its_space_too(chain: Cluster) -> None:
    for face_id in PEOPLE:
        await chain.http.delete(f"/v1/stores/A/faces/{face_id}")
    assert (await migrate(chain))["state"] == "done"
    assert await who(chain, small(1)) == ("no_match", None)


async def test_settings_changed_in_the_same_moment_are_kept(chain: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    real = ClusterMap.update
    done: list[str] = []

    async def update(self: ClusterMap, present: Any, new: Any, lease: str = "") -> None:
        if not done:
            done.append("timezone")
            await real(self, present, replace(present, timezone="Europe/Vienna"))
        await real(self, present, new, lease)

    monkeypatch.setattr(ClusterMap, "update", update)
    await migrate(chain)
    store = (await chain.http.get("/v1/stores/A")).json()
    assert (store["space"], store["timezone"]) == (NEW, "Europe/Vienna")


async def meet_a_flip(running: Cluster, monkeypatch: pytest.MonkeyPatch, **settings: object) -> tuple[int, str]:
    """Change settings of A while another gateway takes it to the new space; status and detail of the answer."""
    real = ClusterMap.update
    calls: list[str] = []

    async def update(self: ClusterMap, present: Any, new: Any, lease: str = "") -> None:
        calls.append(new.space)
        if len(calls) == 1:
            await migrate(running)
        await real(self, present, new, lease)

    with monkeypatch.context() as patch:
        patch.setattr(ClusterMap, "update", update)
        response = await running.http.put("/v1/stores/A", json=settings)
    return response.status_code, response.json().get("detail", "")


async def test_settings_that_meet_a_flip_are_changed(chain: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await meet_a_flip(chain, monkeypatch, timezone="Europe/Vienna"))[0] == 200
    store = (await chain.http.get("/v1/stores/A")).json()
    assert (store["space"], store["timezone"]) == (NEW, "Europe/Vienna")


async def test_a_threshold_of_the_old_space_that_meets_a_flip_is_refused(
    chain: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused, why = await meet_a_flip(chain, monkeypatch, threshold=0.97)
    assert (refused, "has changed to space small-v1" in why) == (409, True)
    assert (await chain.http.get("/v1/stores/A")).json()["threshold"] is None


async def test_what_was_staged_for_another_model_of_that_name_is_dropped(chain: Cluster, redis: Redis) -> None:
    await keep(chain, "eve", 5, None)
    await migrate(chain)
    store, migrations = chain.services.view.stores["A"], Migrations(redis)
    await migrations.begin(store, NEW, DIMENSION)
    assert await redis.exists(*staged()) == 2  # no templates: the one that each has is its row
    await migrations.begin(store, NEW, 2 * DIMENSION)
    assert await redis.exists(*staged()) == 0


async def test_a_model_too_slow_for_all_of_them_gets_somewhere(chain: Cluster) -> None:
    class Slow(Thumbnails):
        async def encode_thumbnail(self, jpeg: bytes, space: str) -> Vectors:
            if jpeg == b"3":
                await asyncio.Event().wait()
            return await super().encode_thumbnail(jpeg, space)

    chain.services.migrator._encoder = Slow()  # type: ignore[assignment]  # as in the fixture
    async with Deadline(0.5) as deadline:
        progress = await chain.services.migrator.advance("A", NEW, leave_behind=False, deadline=deadline)
    assert (progress.state, progress.counts.staged) == ("staging", 2)
    chain.services.migrator._encoder = Thumbnails()  # type: ignore[assignment]
    assert (await migrate(chain))["state"] == "done"


async def test_a_face_is_not_made_anew_from_what_may_be_a_picture_of_somebody_else(chain: Cluster) -> None:
    await keep(chain, "ada", 8, None)
    split = await chain.http.post("/v1/stores/A/faces/ada/split", json={"templates": [0]})
    assert (split.status_code, split.json()["face"]["thumbnail"]) == (201, False)
    answer = await migrate(chain)
    assert answer["state"] == "photos_missing"
    assert {face["face_id"] for face in answer["without_thumbnail"]} == {"ada", split.json()["new"]["face_id"]}


async def test_without_encoders_thumbnails_are_left_to_another_gateway(chain: Cluster) -> None:
    chain.services.migrator._encoder = None
    response = await chain.http.post("/v1/stores/A/migration", json={"to": NEW})
    assert (response.status_code, response.json()["code"]) == (503, "ENCODER_MISSING")
    chain.services.migrator._encoder = Thumbnails()  # type: ignore[assignment]  # as in the fixture
    assert (await migrate(chain))["state"] == "done"
