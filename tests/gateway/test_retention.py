"""Nobody is remembered for longer than the settings say, and nobody for shorter."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio import Redis

from common import keys
from common.cluster_map import StoreConfig
from common.errors import PendingFull
from common.expiry import Aged, Cursors, Expiry
from common.intervals import DAY_MS
from common.ledger import Ledger, Put
from common.pending import Waiting
from common.records import FaceRecord, pack_vectors, standing_of
from common.types import DLIB_SPACE, Kind
from gateway import retention
from gateway.rekeying import Rekeying
from gateway.retention import Retention, expired, unseen_since_ms
from tests.gateway.in_process import Cluster, cluster, unit
from tests.gateway.remains import naming

Fields = dict[str | bytes | bytearray | memoryview | int | float, str | bytes | bytearray | memoryview | int | float]
"""as redis-py types a mapping"""
NOW = 1_800_000_000_000
VISIT_DAYS = 35
STORE = StoreConfig("A", "s1", retention_days=7, member_retention_days=90)


@pytest.mark.parametrize(
    ("standing", "store", "days"),
    [
        ("", STORE, 7),
        ("", replace(STORE, retention_days=None), 30),
        ("m", STORE, 90),
        ("m:m-7", STORE, 90),
        ("m:m-7", replace(STORE, member_retention_days=None), None),
        ("s", STORE, None),
        ("s:m-7", STORE, None),
    ],
)
def test_each_standing_has_its_own_retention(standing: str, store: StoreConfig, days: int | None) -> None:
    assert unseen_since_ms(standing, store, NOW) == (None if days is None else NOW - days * DAY_MS)


def test_a_face_goes_on_the_day_and_not_before() -> None:
    limit = NOW - 7 * DAY_MS
    faces = [Aged("gone", "", limit), Aged("stays", "", limit + 1), Aged("member", "m", limit), Aged("staff", "s", 0)]
    assert [(one.face_id, one.unless_seen_after_ms) for one in expired(faces, STORE, NOW)] == [("gone", limit)]


@pytest.fixture
async def shop(redis_url: str) -> AsyncIterator[Cluster]:
    async with cluster(redis_url, shards=1) as running:
        await running.create("A")
        yield running


def new_retention(shop: Cluster, redis: Redis) -> Retention:
    services = shop.services
    return Retention(services.view, services.ledger, Expiry(redis), services.rekeying, VISIT_DAYS)


async def enrol(
    shop: Cluster, face_id: str, days_ago: float, kind: Kind = Kind.VISITOR, seed: int = 0, store: str = "A"
) -> None:
    """A face last seen so many days ago."""
    at = time.time() - days_ago * 86_400
    rows = unit(seed)
    record = FaceRecord(rows[0], DLIB_SPACE, kind, at, at, 1)
    put = Put(face_id, record.pack(), pack_vectors(rows), standing=standing_of(record), seen_ms=int(at * 1000))
    incarnation = shop.services.view.stores[store].incarnation
    await shop.services.ledger.commit(store, incarnation, puts=[put])


async def left(redis: Redis) -> set[str]:
    found: Any = await redis.hkeys(keys.faces("A"))
    return {face_id.decode() for face_id in found}


async def test_visitors_unseen_for_too_long_are_erased_like_by_hand(shop: Cluster, redis: Redis) -> None:
    await enrol(shop, "old-4711", 31)
    await enrol(shop, "recent", 29)
    await new_retention(shop, redis).turn()
    assert await left(redis) == {"recent"}
    assert await naming(redis, b"old-4711") == {keys.feed("A"), keys.rekeys("A")}


async def test_nobody_who_waits_is_taken_for_one_who_was_not_seen_for_so_long(shop: Cluster, redis: Redis) -> None:
    await enrol(shop, "old", 31, seed=1)
    home, pending = shop.services.view.stores["A"], shop.services.pending
    shop.shards.apps.pop("s1-a")
    await pending.add(home, Waiting(unit(1)[0], int(time.time() * 1000)))
    await new_retention(shop, redis).turn()
    assert (await left(redis), await pending.counts(["A"])) == (set(), {"A": 1})


async def test_members_and_staff_stay_unless_the_store_says_otherwise(shop: Cluster, redis: Redis) -> None:
    await enrol(shop, "member", 400, Kind.MEMBER)
    await enrol(shop, "staff", 400, Kind.STAFF)
    await new_retention(shop, redis).turn()
    assert await left(redis) == {"member", "staff"}
    store = shop.services.view.stores["A"]
    shop.services.view.stores["A"] = replace(store, member_retention_days=365)
    await new_retention(shop, redis)._erase_page(shop.services.view.stores["A"], int(time.time() * 1000))
    assert await left(redis) == {"staff"}


async def test_those_who_stay_do_not_hold_up_those_behind_them(
    shop: Cluster, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "PAGE", 3)
    for n in range(10):
        await enrol(shop, f"member-{n}", 400, Kind.MEMBER, n)
        await enrol(shop, f"visitor-{n}", 300 - n, seed=100 + n)
    turns = new_retention(shop, redis)
    for _ in range(8):
        await turns.turn()
    assert await left(redis) == {f"member-{n}" for n in range(10)}
    await enrol(shop, "one more", 399)
    for _ in range(8):  # from the start again
        await turns.turn()
    assert await left(redis) == {f"member-{n}" for n in range(10)}


async def test_a_turn_erases_a_page_of_a_store_and_not_more(
    shop: Cluster, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "PAGE", 4)
    for n in range(10):
        await enrol(shop, f"f{n}", 40 + n, seed=n)
    turns = new_retention(shop, redis)
    found = []
    for _ in range(3):
        await turns.turn()
        found.append(await left(redis))
    assert found == [{f"f{n}" for n in range(count)} for count in (6, 2, 0)]


async def test_one_store_where_an_erasure_cannot_be_finished_does_not_hold_up_the_others(
    redis_url: str, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = ("A", "B")
    async with cluster(redis_url, shards=1) as chain:
        for store in stores:
            await chain.create(store)
            await enrol(chain, "old", 40, store=store)

        async def is_full(*_: object) -> None:
            raise PendingFull("Too many wait.")

        monkeypatch.setattr(Rekeying, "follow_up", is_full)
        await new_retention(chain, redis).turn()
        assert [await redis.hlen(keys.faces(store)) for store in stores] == [0, 0]


async def test_who_comes_back_in_that_moment_stays(
    shop: Cluster, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sighting falls between the look and the commit."""
    await enrol(shop, "old", 40)
    commit = Ledger.commit

    async def seen_first(self: Ledger, *args: object, **kwargs: object) -> object:
        await redis.zadd(keys.seen("A"), {"old": int(time.time() * 1000)})
        return await commit(self, *args, **kwargs)  # type: ignore[arg-type]  # handed on

    monkeypatch.setattr(Ledger, "commit", seen_first)
    await new_retention(shop, redis).turn()
    assert await left(redis) == {"old"}


async def test_who_becomes_a_member_in_that_moment_stays(
    shop: Cluster, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is no sighting, but a commit; the visitor who is as old waits for the next turn."""
    await enrol(shop, "old", 40)
    await enrol(shop, "older", 41)
    oldest = Expiry.oldest

    async def bound_after(self: Expiry, store: str, skip: int, count: int) -> list[Aged]:
        found = await oldest(self, store, skip, count)
        response = await shop.http.patch("/v1/stores/A/faces/old", json={"kind": "member"})
        assert response.status_code == 200
        return found

    turns = new_retention(shop, redis)
    with monkeypatch.context() as patch:
        patch.setattr(Expiry, "oldest", bound_after)
        await turns.turn()
    assert await left(redis) == {"old", "older"}
    await turns.turn()
    assert await left(redis) == {"old"}


async def test_what_no_report_needs_any_more_is_trimmed_and_the_rest_kept(redis: Redis) -> None:
    await redis.hset(keys.feedback("A"), mapping={f"{NOW - DAY_MS}-3": "1", f"{NOW}-0": "0"})
    hours: Fields = {"2027-01-14T07 BLURRED a:0": "1", "2027-01-14T08 DARK b:0": "1", "2027-01-15T09 DARK c:1": "1"}
    await redis.hset(keys.rejections("A"), mapping=hours)
    old = int(NOW - DAY_MS)
    firsts: Fields = {"~v1": old - 1, "~v2": old - 1, "A/0/ada": old - 1, "~v3": NOW}
    firsts |= {"A/1/created-anew": old - 1, "B/0/store-gone": old - 1, "B/0/store-gone-lately": NOW}
    await redis.hset(keys.firsts("A"), mapping=firsts)
    await redis.sadd(keys.visit_days("A"), "2027-01-15")
    await redis.hset(keys.visits("A", "2027-01-15"), "~v2", "0-0")
    assert time.strftime("%Y-%m-%dT%H", time.gmtime(old / 1000)) == "2027-01-14T08"
    homes = {"A": StoreConfig("A", "s1", incarnation="0123")}
    await Expiry(redis).trim("A", old, Cursors(), homes)
    assert await redis.hkeys(keys.feedback("A")) == [f"{NOW - DAY_MS}-3".encode(), f"{NOW}-0".encode()]
    assert set(await redis.hkeys(keys.rejections("A"))) == {b"2027-01-14T08 DARK b:0", b"2027-01-15T09 DARK c:1"}
    assert set(await redis.hkeys(keys.firsts("A"))) == {b"~v2", b"A/0/ada", b"~v3", b"B/0/store-gone-lately"}
    await Expiry(redis).trim("A", old + 1, Cursors(), homes)
    assert await redis.hkeys(keys.feedback("A")) == [f"{NOW}-0".encode()]


async def test_trimming_reaches_everything_step_by_step(redis: Redis) -> None:
    await redis.hset(keys.feedback("A"), mapping={f"{n}-0": "1" for n in range(5000)})
    expiry, cursors = Expiry(redis), Cursors()
    for _ in range(30):
        await expiry.trim("A", 4999, cursors, {})
    assert await redis.hkeys(keys.feedback("A")) == [b"4999-0"]
