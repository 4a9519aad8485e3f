"""Where a reader goes on, what it is told of what is gone, and how far the webhook has come."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from common import keys
from common.cluster_map import ClusterMap
from common.events import Events, order
from common.outbox import Outbox
from tests.gateway.checkout import announce, open_store


def test_ids_are_compared_as_numbers_not_as_text() -> None:
    assert order("10-2") > order("9-3")
    assert order("5-10") > order("5-9")
    assert order("5") == order("5-0")


async def test_a_reader_without_a_position_gets_what_is_still_to_come(redis: Redis) -> None:
    events = Events(redis)
    assert (await events.resume("A", None)).position == "0-0"
    last = await announce(redis, "A")
    resumed = await events.resume("A", None)
    assert (resumed.position, resumed.gap) == (last, False)


async def test_a_reader_whose_next_events_were_trimmed_is_told_and_any_other_is_not(redis: Redis) -> None:
    events = Events(redis)
    ids = [await announce(redis, "A") for _ in range(5)]
    for known in ("0", *ids):
        assert not (await events.resume("A", known)).gap
    await redis.xtrim(keys.events("A"), minid=ids[2], approximate=False)
    assert [(await events.resume("A", known)).gap for known in ("0", *ids)] == [True, True, True, False, False, False]
    assert [event.id for event in await events.after("A", ids[0])] == ids[2:]


async def test_a_reader_of_a_stream_that_was_begun_anew_goes_on_from_its_end(redis: Redis) -> None:
    events = Events(redis)
    resumed = await events.resume("A", "99-0")
    assert (resumed.position, resumed.gap) == ("0-0", True)
    last = await announce(redis, "A")
    resumed = await events.resume("A", "9999999999999-0")
    assert (resumed.position, resumed.gap) == (last, True)


async def test_everything_is_forgotten_that_names_a_person_and_nothing_else(redis: Redis) -> None:
    events = Events(redis)
    kept = [await announce(redis, "A", f"A/12345678/f{at}") for at in range(1200)]
    mine = [
        await announce(redis, "A", "A/12345678/f"),
        await announce(redis, "A", "A/12345678/f5", "correction", w="A/12345678/f"),
    ]
    assert await events.forget("A", "A/12345678/f") == 2
    assert await events.forget("A", "A/12345678/f") == 0
    assert await redis.xlen(keys.events("A")) == 1200
    assert await events.get("A", mine[0]) is None
    assert await events.get("A", kept[-1]) is not None
    assert not (await events.resume("A", kept[-1])).gap


async def test_the_last_word_about_an_event_counts(redis: Redis) -> None:
    events = Events(redis)
    await events.judge("A", "1-0", correct=False)
    await events.judge("A", "2-0", correct=True)
    await events.judge("A", "1-0", correct=True)
    assert await events.judged("A") == {"1-0": True, "2-0": True}


async def test_the_webhook_tells_nothing_of_before_it_was_set_and_everything_since(redis: Redis) -> None:
    outbox = Outbox(redis)
    await redis.xadd(keys.events("old"), {"t": "arrival", "k": "~v00", "a": 1}, id="1-0")
    await outbox.begin()
    since = await announce(redis, "new")
    await outbox.begin()  # another start
    cursors = await outbox.cursors(["old", "new"])
    assert order("1-0") < order(cursors["old"])
    assert order(cursors["new"]) < order(since)
    await open_store(redis, "new")
    await outbox.move("new", since)
    assert (await outbox.cursors(["new"])) == {"new": since}


@pytest.mark.parametrize(("told", "late"), [("10-2", "9-3"), ("5-10", "5-9"), ("5-10", "5-10"), ("1000-0", "999-7")])
async def test_the_webhook_never_goes_back(redis: Redis, told: str, late: str) -> None:
    outbox = Outbox(redis)
    await open_store(redis, "A")
    for event_id in (late, told, late):
        await outbox.move("A", event_id)
    assert await outbox.cursors(["A"]) == {"A": told}


async def test_nothing_is_noted_at_a_store_that_is_gone(redis: Redis) -> None:
    store = await open_store(redis, "A")
    await ClusterMap(redis).delete(store)
    await Outbox(redis).move("A", "5-0")
    assert await redis.keys("fg:{A}:*") == []


@pytest.mark.parametrize("count", [1, 3])
async def test_dead_letters_are_read_page_by_page_and_dropped_once(redis: Redis, count: int) -> None:
    outbox = Outbox(redis)
    for at in range(3):
        await outbox.bury("A", f"{at}-0", "it answered 500")
    page = await outbox.letters("0", count)
    assert [letter.event_id for letter in page] == [f"{at}-0" for at in range(count)]
    rest = await outbox.letters(page[-1].id, 10)
    assert [letter.event_id for letter in rest] == [f"{at}-0" for at in range(count, 3)]
    assert (await outbox.letter(page[0].id)) == page[0]
    assert await outbox.drop(page[0].id)
    assert not await outbox.drop(page[0].id)
    assert await outbox.letter(page[0].id) is None
