"""Visits in Redis: the scripts against the rule, whatever the order, the repetition, and the date."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from common import keys
from common.cluster_map import ClusterMap, StoreConfig
from common.errors import UnknownStore
from common.incarnations import creation
from common.intervals import DAY_MS, merge
from common.ledger import Delete, Ledger, Put
from common.records import FaceRecord, pack_vectors
from common.types import DLIB_SPACE, Kind
from common.visits import Recorded, Seen, Visits, home_of, person_of, utc_date, window_ms
from tests.gateway.in_process import unit

NOON = 20_000 * DAY_MS + DAY_MS // 2
MINUTE = 60_000


async def store_with_face(redis: Redis, name: str, face_id: str = "ada") -> StoreConfig:
    store = await ClusterMap(redis).create(StoreConfig(name, "s1"))
    await enrol(redis, store, face_id)
    return store


async def enrol(redis: Redis, store: StoreConfig, face_id: str, standing: str = "") -> None:
    rows = unit(1)
    record = FaceRecord(rows[0], DLIB_SPACE, Kind.VISITOR, 0, 0, 1)
    put = Put(face_id, record.pack(), pack_vectors(rows), standing=standing, seen_ms=NOON - DAY_MS)
    await Ledger(redis).commit(store.store, store.incarnation, puts=[put])


async def joined(redis: Redis, store: StoreConfig, person: str) -> list[tuple[int, int]]:
    visits = Visits(redis)
    found = await visits.intervals(store.store, sorted(await visits.dates(store.store)))
    return merge(found.get(person, []), window_ms(store))


async def recorded(redis: Redis, store: StoreConfig, at_ms: int, event: str = "arrival") -> Recorded:
    found = await Visits(redis).record(Seen(store, store, "ada", at_ms, event))
    assert found is not None
    return found


@pytest.mark.parametrize("seed", range(8))
async def test_the_script_keeps_the_rule_over_many_days_and_midnights(redis: Redis, seed: int) -> None:
    store = await store_with_face(redis, "A")
    rng = random.Random(seed)
    times = [NOON + rng.randrange(3 * DAY_MS) for _ in range(40)]
    times += [at + rng.randrange(45 * MINUTE) for at in times for _ in range(2)]
    times += [20_002 * DAY_MS + step * MINUTE for step in (-40, -10, 0, 29)]
    for at in rng.sample(times, len(times)) + rng.sample(times, 20):
        await recorded(redis, store, at)
    assert await joined(redis, store, person_of(store, "ada")) == merge([(at, at) for at in times], window_ms(store))
    assert (await Visits(redis).firsts("A", [person_of(store, "ada")])).popitem()[1] == min(times)
    assert (await Visits(redis).origins([person_of(store, "ada")])).popitem()[1] == min(times)


async def test_a_visit_is_told_once_when_it_starts_also_over_midnight(redis: Redis) -> None:
    store = await store_with_face(redis, "A")
    midnight = 20_001 * DAY_MS
    first = await recorded(redis, store, midnight - MINUTE)
    second = await recorded(redis, store, midnight + MINUTE)
    again = await recorded(redis, store, midnight - MINUTE)
    assert (first.started, second.started, again.started) == (True, False, False)
    assert second.visit_start_ms == midnight - MINUTE
    assert first.event_id is not None
    assert second.event_id is None
    assert again.event_id is None
    earlier = await recorded(redis, store, midnight - 40 * MINUTE)  # the same person came a little earlier still
    assert earlier.started
    assert await redis.xlen(keys.events("A")) == 2


async def test_a_sighting_late_that_joins_the_day_after_starts_no_other_visit(redis: Redis) -> None:
    store = await store_with_face(redis, "A")
    midnight = 20_001 * DAY_MS
    await recorded(redis, store, midnight + MINUTE)
    assert not (await recorded(redis, store, midnight - MINUTE)).started


async def test_elsewhere_the_home_store_keeps_where_the_face_was(redis: Redis) -> None:
    home, other = await store_with_face(redis, "A"), await store_with_face(redis, "B", "bob")
    for at in (NOON + MINUTE, NOON):
        assert await Visits(redis).record(Seen(other, home, "ada", at, "arrival")) is not None
    assert await redis.hget(keys.places("A"), "ada") == b"B"
    assert await redis.zscore(keys.seen("A"), "ada") == NOON + MINUTE
    assert await joined(redis, other, person_of(home, "ada")) == [(NOON, NOON + MINUTE)]
    assert await joined(redis, home, person_of(home, "ada")) == []


async def test_a_face_that_is_gone_is_not_counted(redis: Redis) -> None:
    home, other = await store_with_face(redis, "A"), await store_with_face(redis, "B", "bob")
    await Ledger(redis).commit("A", home.incarnation, deletes=[Delete("ada")])
    for store in (home, other):
        assert await Visits(redis).record(Seen(store, home, "ada", NOON)) is None
        assert await Visits(redis).dates(store.store) == set()


async def test_a_store_that_is_gone_or_another_is_refused(redis: Redis) -> None:
    store = await store_with_face(redis, "A")
    with pytest.raises(UnknownStore):
        await Visits(redis).record(Seen(replace(store, incarnation="x"), replace(store, incarnation="x"), "ada", NOON))


async def test_an_announcement_that_was_right_is_not_repeated_and_a_wrong_one_corrected(redis: Redis) -> None:
    store = await store_with_face(redis, "A")
    ada = person_of(store, "ada")
    right = await Visits(redis).record(Seen(store, store, "ada", NOON, "arrival", announced=ada))
    wrong = await Visits(redis).record(Seen(store, store, "ada", NOON, "arrival", announced="A/x/bob"))
    assert right is not None
    assert right.event_id is None
    assert wrong is not None
    assert wrong.event_id is not None
    ((_, said),) = await redis.xrange(keys.events("A")) or []
    assert said == {b"t": b"correction", b"k": ada.encode(), b"a": str(NOON).encode(), b"w": b"A/x/bob"}


async def test_visits_under_another_name_are_joined_and_doing_it_twice_changes_nothing(redis: Redis) -> None:
    store = await store_with_face(redis, "A")
    await enrol(redis, store, "eve")
    for face_id, at in (
        ("ada", NOON),
        ("eve", NOON + 20 * MINUTE),
        ("ada", NOON + 40 * MINUTE),
        ("eve", NOON - DAY_MS),
    ):
        await Visits(redis).record(Seen(store, store, face_id, at))
    ada, eve = person_of(store, "ada"), person_of(store, "eve")
    for _ in range(2):
        await Visits(redis).rekey(store, eve, ada)
        assert await joined(redis, store, eve) == []
        assert await joined(redis, store, ada) == [(NOON - DAY_MS, NOON - DAY_MS), (NOON, NOON + 40 * MINUTE)]
    assert await Visits(redis).firsts("A", [ada, eve]) == {ada: NOON - DAY_MS}


@pytest.mark.parametrize(("standing", "prefix"), [("", "~v"), ("m:c-1", "~m"), ("s", "~s")])
async def test_an_erased_face_leaves_a_job_that_names_nobody_it_will_be(
    redis: Redis, standing: str, prefix: str
) -> None:
    store = await store_with_face(redis, "A")
    await enrol(redis, store, "ada", standing)
    await Ledger(redis).commit("A", store.incarnation, deletes=[Delete("ada")])
    job = json.loads(await redis.hget(keys.rekeys("A"), "ada") or "{}")
    assert job["to"].startswith(prefix)
    assert job["from"] == person_of(store, "ada")
    for key in (keys.standings("A"), keys.origins("A"), keys.places("A"), keys.templates("A")):
        assert not await redis.hexists(key, "ada")
    assert await redis.zscore(keys.seen("A"), "ada") is None


async def test_a_face_seen_in_between_is_not_erased(redis: Redis) -> None:
    store = await store_with_face(redis, "A")
    done = await Ledger(redis).commit(
        "A", store.incarnation, deletes=[Delete("ada", unless_seen_after_ms=NOON - 2 * DAY_MS)]
    )
    assert done.deleted == 0
    done = await Ledger(redis).commit("A", store.incarnation, deletes=[Delete("ada", unless_seen_after_ms=NOON)])
    assert done.deleted == 1


async def test_a_rejected_face_sent_twice_counts_once(redis: Redis) -> None:
    store = await store_with_face(redis, "A")
    for mark in ("one", "one", "two"):
        await Visits(redis).rejected(store, NOON, ["BLURRED", "DARK"], mark)
    hour = f"{utc_date(NOON)}T12"
    assert await Visits(redis).rejections("A") == {f"{hour} BLURRED": 2, f"{hour} DARK": 2}


async def test_a_face_rejected_at_a_store_that_is_gone_is_counted_nowhere(redis: Redis) -> None:
    store = await store_with_face(redis, "A")
    await ClusterMap(redis).delete(store)
    with pytest.raises(UnknownStore):
        await Visits(redis).rejected(store, NOON, ["BLURRED"], "one")
    assert await redis.keys("*{A}*") == []
    again = await store_with_face(redis, "A")
    with pytest.raises(UnknownStore):
        await Visits(redis).rejected(store, NOON, ["BLURRED"], "one")
    assert await Visits(redis).rejections("A") == {}
    flipped = f"{creation(again.incarnation)}another-space"
    await redis.set(keys.incarnation("A"), flipped)
    await Visits(redis).rejected(again, NOON, ["BLURRED"], "one")
    assert await Visits(redis).rejections("A") == {f"{utc_date(NOON)}T12 BLURRED": 1}


async def test_deleting_a_store_leaves_nothing_of_its_visits(redis: Redis) -> None:
    store = await store_with_face(redis, "A")
    await recorded(redis, store, NOON)
    await ClusterMap(redis).delete(store)
    assert list(await redis.keys("*{A}*")) == []


def test_a_person_key_says_whose_it_is() -> None:
    store = StoreConfig("A", "s1", incarnation="0123456789")
    assert home_of(person_of(store, "ada")) == ("A", "01234567", "ada")
    assert home_of("~v12") is None
