"""Two faces become one as if they always had been, whatever is cut short; templates become a face of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import numpy as np
import pytest
from redis.asyncio import Redis

from common import keys
from common.errors import Conflict
from common.intervals import Interval, merge
from common.ledger import Ledger, StoredFace
from common.members import MemberBook
from common.pending import Waiting
from common.records import FaceRecord, pack_vectors, unpack_vectors
from common.rekeys import Rekeys
from common.types import DLIB_SPACE, Kind, Vectors
from common.vectors import mean_row
from common.visits import Visits, person_of, window_ms
from gateway.members import Members
from gateway.merge import join
from gateway.rekeying import Rekeying
from tests.gateway.in_process import Cluster, cluster, unit
from tests.gateway.remains import Fault, naming

START = datetime.now(UTC).replace(microsecond=0) - timedelta(days=3)
INTO = {"store": "A", "face_id": "ada"}
TWIN = "twin-4711"
FROM = {"store": "B", "face_id": TWIN}
STEPS: list[tuple[type, str]] = [
    (Rekeys, "carry"),
    (MemberBook, "begin_binding"),
    (Ledger, "commit"),
    (Rekeys, "jobs_of"),
    (Visits, "rekey"),
    (Members, "forget_face"),
    (Rekeys, "change"),
]
STEPS_OF_A_MERGE = 11
"""calls of those that the merge in `chain` makes; a test compares"""


def near(row: Vectors, seed: int) -> Vectors:
    """Another photo of the same person, (1, 128)."""
    mixed = row + 0.02 * unit(seed)
    return np.ascontiguousarray(mixed / np.linalg.norm(mixed), dtype=np.float32)


ADAS = np.concatenate([unit(1), near(unit(1), 50)])
TWINS = np.concatenate([unit(2), near(unit(2), 51), near(unit(2), 52)])


@pytest.fixture
async def chain(redis_url: str) -> AsyncIterator[Cluster]:
    """Ada of A was seen at A and C; her twin of B, which is a member's face, at A, B and D, earlier and later."""
    async with cluster(redis_url, shards=2) as running:
        for store in "ABCD":
            await running.create(store)
        await running.enrol("A", ADAS, face_id="ada", labels={"door": "north"})
        await running.enrol("B", TWINS, face_id=TWIN, labels={"door": "south"})
        await running.http.put("/v1/members/m-7", json={"display_name": "Ada"})
        assert (await running.http.put(f"/v1/members/m-7/faces/B/{TWIN}")).status_code == 200
        for rows, store, minutes in (
            *((ADAS[:1], "A", at) for at in (100, 125, 400)),
            (ADAS[:1], "C", 10),
            *((TWINS[:1], "A", at) for at in (150, 900)),
            *((TWINS[:1], "B", at) for at in (5, 1000)),
            (TWINS[:1], "D", 60),
        ):
            await see(running, store, minutes, rows)
        yield running


async def see(running: Cluster, store: str, minutes: int, rows: Vectors) -> dict[str, Any]:
    body = {"embeddings": rows.tolist(), "at": (START + timedelta(minutes=minutes)).isoformat()}
    response = await running.http.post(f"/v1/stores/{store}/sightings", json=body)
    face: dict[str, Any] = response.json()["faces"][0]
    assert face["outcome"] == "counted", response.text
    return face


async def merged(running: Cluster, into: object = INTO, gone: object = FROM, query: str = "") -> httpx.Response:
    return await running.http.post(f"/v1/faces/merge{query}", json={"into": into, "from": gone})


def ms(minutes: int) -> int:
    return int((START + timedelta(minutes=minutes)).timestamp() * 1000)


def person(running: Cluster, face: dict[str, str]) -> str:
    return person_of(running.services.view.stores[face["store"]], face["face_id"])


async def visits(running: Cluster, store: str) -> dict[str, list[Interval]]:
    found = running.services.visits
    each = await found.intervals(store, sorted(await found.dates(store)))
    window = window_ms(running.services.view.stores[store])
    return {name: merge(pieces, window) for name, pieces in each.items()}


def leader(running: Cluster, late_s: float = 0.0) -> Rekeying:
    return Rekeying(running.services.view, running.services.rekeying._truths, late_s)


async def check_is_one(running: Cluster, redis: Redis) -> None:
    """Everything is as if the two had been one from the start, and nothing but the feed names the twin."""
    ada = person(running, INTO)
    assert {store: await visits(running, store) for store in "ABCD"} == {
        "A": {ada: [(ms(100), ms(150)), (ms(400), ms(400)), (ms(900), ms(900))]},
        "B": {ada: [(ms(5), ms(5)), (ms(1000), ms(1000))]},
        "C": {ada: [(ms(10), ms(10))]},
        "D": {ada: [(ms(60), ms(60))]},
    }
    found = running.services.visits
    assert await found.firsts("A", [ada]) == {ada: ms(100)}
    assert await found.origins([ada]) == {ada: ms(5)}
    face = (await running.http.get("/v1/stores/A/faces/ada")).json()
    assert (face["kind"], face["labels"], face["templates"]) == ("member", {"door": "north"}, 5)
    assert (await running.http.get(f"/v1/stores/B/faces/{TWIN}")).status_code == 404
    listed = (await running.http.get("/v1/members/m-7/faces")).json()["faces"]
    assert [(one["store"], one["face_id"]) for one in listed] == [("A", "ada")]
    await leader(running).turn()
    assert await naming(redis, TWIN.encode()) <= {keys.feed("B"), *(keys.events(store) for store in "ABCD")}


async def test_two_faces_of_two_stores_become_one_as_if_they_always_had_been(chain: Cluster, redis: Redis) -> None:
    response = await merged(chain)
    assert response.status_code == 200, response.text
    answer = response.json()
    assert (answer["store"], answer["face_id"], answer["merged"], answer["visible"]) == ("A", "ada", FROM, True)
    assert (answer["erasure"]["store"], answer["erasure"]["complete"]) == ("B", True)
    await check_is_one(chain, redis)


async def test_searches_find_the_one_by_the_photos_of_both(chain: Cluster) -> None:
    await merged(chain)
    response = await chain.http.post(
        "/v1/stores/D/search?scope=group&threshold=0.5", json={"embeddings": [ADAS[0].tolist(), TWINS[0].tolist()]}
    )
    found = [[c["face_id"] for c in result["candidates"]] for result in response.json()["results"]]
    assert found == [["ada"], ["ada"]]


async def test_two_faces_of_one_store_become_one_in_one_commit(chain: Cluster, redis: Redis) -> None:
    await chain.enrol("A", near(unit(1), 60), face_id="again-4711")
    version = await chain.services.ledger.version("A")
    response = await merged(chain, INTO, {"store": "A", "face_id": "again-4711"})
    assert (response.status_code, response.json()["templates"]) == (200, 3)
    assert await chain.services.ledger.version("A") - version == 3  # the one, the other as it was, and gone
    await leader(chain).turn()
    assert await naming(redis, b"again-4711") == {keys.feed("A")}


async def test_the_fault_test_strikes_every_step(chain: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = Fault(monkeypatch, STEPS, at=1000)
    await merged(chain)
    assert fault.calls == STEPS_OF_A_MERGE


@pytest.mark.parametrize("at", range(STEPS_OF_A_MERGE))
async def test_a_merge_that_was_cut_short_is_finished_by_repeating_it(
    chain: Cluster, redis: Redis, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    fault = Fault(monkeypatch, STEPS, at)
    assert (await merged(chain)).status_code in {200, 503}
    assert fault.struck
    fault.on = False
    assert (await merged(chain)).status_code == 200
    await check_is_one(chain, redis)


@pytest.mark.parametrize("at", range(4, STEPS_OF_A_MERGE))
async def test_once_the_other_face_is_gone_the_leader_finishes_the_merge(
    chain: Cluster, redis: Redis, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    fault = Fault(monkeypatch, STEPS, at)
    assert (await merged(chain)).status_code == 200
    assert fault.struck
    fault.on = False
    await leader(chain).turn()
    await check_is_one(chain, redis)


async def test_a_merge_may_be_repeated_until_its_job_is_forgotten(chain: Cluster) -> None:
    first = (await merged(chain)).json()
    again = await merged(chain)
    assert again.status_code == 200
    assert {**again.json(), "erasure": None} == {**first, "erasure": None}
    other = await merged(chain, {"store": "A", "face_id": "ada"}, {"store": "C", "face_id": TWIN})
    assert (other.status_code, other.json()["field"]) == (404, "from.face_id")
    await leader(chain).turn()
    forgotten = await merged(chain)
    assert (forgotten.status_code, forgotten.json()["code"]) == (404, "UNKNOWN_FACE")


async def test_erasing_the_one_erases_what_both_had_been(chain: Cluster, redis: Redis) -> None:
    await merged(chain)
    assert (await chain.http.delete("/v1/stores/A/faces/ada")).status_code == 200
    names = {name for store in "ABCD" for name in await visits(chain, store)}
    assert len(names) == 1
    assert names.pop().startswith("~m")
    await leader(chain).turn()
    for face in (INTO, FROM):
        assert not any("visits" in key or "firsts" in key for key in await naming(redis, person(chain, face).encode()))


async def test_a_template_added_at_this_moment_is_not_lost(chain: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at both faces and the commits; the one that goes is compared too."""
    whereabouts = Rekeys.whereabouts
    added = near(unit(2), 70)

    async def slowly(self: Rekeys, store: str, face_id: str) -> Any:
        monkeypatch.setattr(Rekeys, "whereabouts", whereabouts)
        await chain.enrol("B", added, face_id=TWIN)
        return await whereabouts(self, store, face_id)

    monkeypatch.setattr(Rekeys, "whereabouts", slowly)
    assert (await merged(chain)).json()["templates"] == 6
    face = await chain.services.ledger.face("A", "ada")
    assert face is not None
    assert (unpack_vectors(face.templates, 128) == added).all(axis=1).any()


async def test_sightings_that_wait_name_the_one(chain: Cluster) -> None:
    pending, ada, twin = chain.services.pending, person(chain, INTO), person(chain, FROM)
    chain.shards.apps.clear()  # so that they wait on
    store = chain.services.view.stores["D"]
    await pending.add(store, Waiting(unit(91)[0], ms(1), twin, ("A/x/y",)))
    await pending.add(store, Waiting(unit(92)[0], ms(2), "", ("A/x/y", twin)))
    await pending.add(store, Waiting(unit(93)[0], ms(3), ada, ("A/x/y",)))
    assert (await merged(chain)).status_code == 200
    found = {one.at_ms: (one.announced, set(one.others)) for one in await pending.entries("D")}
    assert found == {ms(1): (ada, {"A/x/y"}), ms(2): ("", {"A/x/y", ada}), ms(3): (ada, {"A/x/y"})}


async def test_both_ways_at_once_leave_one_face(chain: Cluster) -> None:
    one, other = await asyncio.gather(merged(chain, INTO, FROM), merged(chain, FROM, INTO))
    assert 200 in {one.status_code, other.status_code}
    found = [
        (await chain.http.get(f"/v1/stores/{face['store']}/faces/{face['face_id']}")).status_code
        for face in (INTO, FROM)
    ]
    assert 200 in found


@pytest.mark.parametrize(
    ("into", "gone", "status", "code", "field"),
    [
        (INTO, INTO, 422, "INVALID_REQUEST", "from"),
        (INTO, {"store": "B", "face_id": "nobody"}, 404, "UNKNOWN_FACE", "from.face_id"),
        ({"store": "A", "face_id": "nobody"}, FROM, 404, "UNKNOWN_FACE", "into.face_id"),
        (INTO, {"store": "Z", "face_id": TWIN}, 404, "UNKNOWN_STORE", "store"),
        (INTO, {"store": "../B", "face_id": TWIN}, 422, "INVALID_REQUEST", "from.store"),
        ({"store": "A", "face_id": "a b"}, FROM, 422, "INVALID_REQUEST", "into.face_id"),
        (INTO, {"store": "elsewhere", "face_id": "x"}, 422, "INVALID_REQUEST", "from"),
        (INTO, {"store": "B"}, 422, "INVALID_REQUEST", "from.face_id"),
        (INTO, FROM | {"id": "x"}, 422, "INVALID_REQUEST", "from.id"),
        (INTO, None, 422, "INVALID_REQUEST", "from"),
    ],
)
async def test_what_cannot_be_merged_is_refused_and_named(
    chain: Cluster, into: object, gone: object, status: int, code: str, field: str
) -> None:
    await chain.create("elsewhere", group="other")
    response = await merged(chain, into, gone)
    assert (response.status_code, response.json()["code"], response.json()["field"]) == (status, code, field)
    assert (await chain.http.get("/v1/stores/A/faces/ada")).json()["templates"] == 2


async def test_a_merge_that_its_member_has_no_room_for_changes_nothing(chain: Cluster, redis: Redis) -> None:
    await redis.sadd(keys.member_faces("m-7"), *(f"A/f{nth}" for nth in range(256)))
    before = [await redis.hgetall(key("A")) for key in (keys.origins, keys.places, keys.faces)]
    response = await merged(chain)
    assert (response.status_code, response.json()["code"]) == (409, "MEMBER_FULL")
    assert [await redis.hgetall(key("A")) for key in (keys.origins, keys.places, keys.faces)] == before


async def test_faces_of_two_members_are_not_merged(chain: Cluster) -> None:
    await chain.http.put("/v1/members/m-8", json={"display_name": "Eve"})
    assert (await chain.http.put("/v1/members/m-8/faces/A/ada")).status_code == 200
    response = await merged(chain)
    assert (response.status_code, response.json()["code"]) == (409, "CONFLICT")
    assert response.json()["members"] == ["m-8", "m-7"]


def stored(rows: Vectors, updated: float, kind: Kind = Kind.VISITOR, member_id: str | None = None) -> StoredFace:
    record = FaceRecord(mean_row(rows), DLIB_SPACE, kind, 1.0, updated, len(rows), {}, member_id)
    return StoredFace(record.pack(), record, pack_vectors(rows))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (Kind.VISITOR, Kind.VISITOR, Kind.VISITOR),
        (Kind.VISITOR, Kind.MEMBER, Kind.MEMBER),
        (Kind.MEMBER, Kind.VISITOR, Kind.MEMBER),
        (Kind.STAFF, Kind.MEMBER, Kind.STAFF),
        (Kind.VISITOR, Kind.STAFF, Kind.STAFF),
    ],
)
def test_who_is_staff_or_a_member_once_stays_it(one: Kind, other: Kind, expected: Kind) -> None:
    assert join(stored(unit(1), 1, one), stored(unit(2), 2, other), now=3)[0].kind is expected


def test_the_newest_templates_stay_and_joining_again_changes_nothing() -> None:
    stays, goes = stored(unit(1, 7), 5.0), stored(unit(2, 6), 4.0)
    record, templates = join(stays, goes, now=6.0)
    assert (record.templates, len(templates)) == (10, 10)
    assert np.array_equal(templates, np.concatenate([unit(2, 6)[-3:], unit(1, 7)]))
    assert np.array_equal(record.row, mean_row(templates))
    joined = StoredFace(record.pack(), record, pack_vectors(templates))
    again, same = join(joined, goes, now=7.0)
    assert np.array_equal(same, templates)
    assert (record.photos, again.photos) == (13, 13)


def test_a_bound_face_gives_its_member_to_one_that_has_none() -> None:
    bound = stored(unit(2), 2, Kind.MEMBER, "m-7")
    assert join(stored(unit(1), 1), bound, now=3)[0].member_id == "m-7"
    assert join(bound, stored(unit(1), 1), now=3)[0].member_id == "m-7"
    with pytest.raises(Conflict):
        join(bound, stored(unit(1), 1, Kind.MEMBER, "m-8"), now=3)


async def templates_of(chain: Cluster, face_id: str = "mixed") -> dict[str, Any]:
    response = await chain.http.get(f"/v1/stores/A/faces/{face_id}/templates")
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def split(chain: Cluster, **body: object) -> httpx.Response:
    return await chain.http.post("/v1/stores/A/faces/mixed/split", json=body)


@pytest.fixture
async def mixed(chain: Cluster) -> Cluster:
    """A face with two templates of one person and, between them, one of another."""
    rows = np.concatenate([unit(30), unit(31), near(unit(30), 80)])
    await chain.enrol("A", rows, face_id="mixed", kind="member", labels={"door": "east"})
    return chain


async def test_the_template_that_does_not_belong_scores_lowest(mixed: Cluster) -> None:
    found = (await templates_of(mixed))["templates"]
    assert [one["index"] for one in found] == [0, 1, 2]
    assert min(found, key=lambda one: one["score"])["index"] == 1
    assert min(found, key=lambda one: one["score_of_others"])["index"] == 1


async def test_the_only_template_has_no_others_to_be_compared_with(chain: Cluster) -> None:
    await chain.enrol("A", unit(40), face_id="single")
    (only,) = (await templates_of(chain, "single"))["templates"]
    assert (only["score"], only["score_of_others"]) == (1.0, None)


async def test_templates_that_are_split_off_become_a_visitor(mixed: Cluster, redis: Redis) -> None:
    row = mean_row(np.concatenate([unit(30), unit(31), near(unit(30), 80)]))[None]
    assert (await see(mixed, "A", 1200, row))["face_id"] == "mixed"
    before = (await visits(mixed, "A"))[person(mixed, {"store": "A", "face_id": "mixed"})]
    response = await split(mixed, templates=[1], updated=(await templates_of(mixed))["updated"])
    assert response.status_code == 201, response.text
    answer = response.json()
    new = answer["new"]["face_id"]
    assert (answer["visible"], answer["face"]["templates"], answer["new"]["templates"]) == (True, 2, 1)
    assert (answer["new"]["kind"], answer["new"]["labels"], answer["face"]["kind"]) == ("visitor", {}, "member")
    for row, expected in ((unit(30), "mixed"), (unit(31), new)):
        found = await mixed.http.post("/v1/stores/A/search", json={"embeddings": row.tolist()})
        best = found.json()["results"][0]["candidates"][0]
        assert (best["face_id"], best["score"] > 0.99) == (expected, True)
    assert (await visits(mixed, "A"))[person(mixed, {"store": "A", "face_id": "mixed"})] == before
    assert await redis.zscore(keys.seen("A"), new) is not None  # or retention would never see it


async def test_a_split_forgets_no_photo_of_a_track(chain: Cluster) -> None:
    track = np.concatenate([near(unit(60), seed) for seed in (81, 82, 83, 84)])
    body = {"embeddings": track.tolist(), "track": "t"}
    (seen,) = (await chain.http.post("/v1/stores/A/sightings", json=body)).json()["faces"]
    await chain.enrol("A", unit(61), face_id=seen["face_id"])
    parts = await chain.http.post(f"/v1/stores/A/faces/{seen['face_id']}/split", json={"templates": [1]})
    found = await chain.services.ledger.records("A", [seen["face_id"], parts.json()["new"]["face_id"]])
    # Which of the two templates was the track is not known any more: both are held to what a mean of four must reach.
    assert [record and (record.templates, record.photos_behind) for record in found] == [(1, 4), (1, 4)]


async def test_a_split_of_what_was_not_looked_at_is_refused(mixed: Cluster) -> None:
    looked_at = (await templates_of(mixed))["updated"]
    await mixed.enrol("A", near(unit(30), 81), face_id="mixed")
    response = await split(mixed, templates=[1], updated=looked_at)
    assert (response.status_code, response.json()["code"]) == (409, "FACE_CHANGED")


async def test_a_split_does_not_take_other_templates_than_those_it_read(
    mixed: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody adds one between the look and the commit; the indexes may mean others then."""
    commit = Ledger.commit

    async def later(self: Ledger, *args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(Ledger, "commit", commit)
        await mixed.enrol("A", near(unit(30), 82), face_id="mixed")
        return await commit(self, *args, **kwargs)

    monkeypatch.setattr(Ledger, "commit", later)
    response = await split(mixed, templates=[1])
    assert (response.status_code, response.json()["code"]) == (409, "FACE_CHANGED")
    assert (await mixed.http.get("/v1/stores/A/faces/mixed")).json()["templates"] == 4


@pytest.mark.parametrize(
    ("body", "field", "limit"),
    [
        ({"templates": [3]}, "templates", 2),
        ({"templates": [0, 1, 2]}, "templates", 2),
        ({"templates": []}, "templates", None),
        ({"templates": [0, 0]}, "templates", None),
        ({"templates": [-1]}, "templates.0", 0),
        ({"templates": [10]}, "templates.0", 10),
        ({"templates": ["0"]}, "templates.0", None),
        ({}, "templates", None),
        ({"templates": [0], "all": True}, "all", None),
        ({"templates": [0], "updated": "yesterday"}, "updated", None),
    ],
)
async def test_what_cannot_be_split_off_is_refused_and_named(
    mixed: Cluster, body: dict[str, object], field: str, limit: object
) -> None:
    response = await split(mixed, **body)
    problem = response.json()
    assert (response.status_code, problem["code"], problem["field"]) == (422, "INVALID_REQUEST", field), problem
    assert limit is None or problem["limit"] == limit


async def test_a_face_that_is_not_there_has_no_templates_and_none_to_split(chain: Cluster) -> None:
    assert (await chain.http.get("/v1/stores/A/faces/nobody/templates")).json()["code"] == "UNKNOWN_FACE"
    response = await chain.http.post("/v1/stores/A/faces/nobody/split", json={"templates": [0]})
    assert (response.status_code, response.json()["code"]) == (404, "UNKNOWN_FACE")
