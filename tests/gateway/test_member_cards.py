"""Cards for searches: kept for seconds, refreshed after, and never waited for while Redis is away."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from redis.asyncio import Redis

from common.errors import TruthUnavailable
from common.members import MemberBook, MemberCard, Profile
from gateway import member_cards
from gateway.member_cards import FRESH_S, PAUSE_S, CardCache


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Counting(MemberBook):
    """A real book that counts what it is asked, and fails or hangs on demand."""

    redis: Redis
    asked: list[list[str]] = field(default_factory=list)
    failing: bool = False
    hanging: bool = False

    def __post_init__(self) -> None:
        super().__init__(self.redis)

    async def profiles(self, member_ids: Sequence[str]) -> dict[str, Profile]:
        self.asked.append(list(member_ids))
        if self.failing:
            raise TruthUnavailable("Redis: away.", outcome="unchanged")
        if self.hanging:
            await asyncio.Event().wait()
        return await super().profiles(member_ids)


async def book_of(redis: Redis, *names: str) -> Counting:
    book = Counting(redis)
    for name in names:
        await MemberBook(redis).put(Profile(MemberCard(name, name.upper()), 1.0, 1.0))
    return book


async def test_a_card_is_read_once_while_it_is_fresh_and_anew_after(redis: Redis) -> None:
    book, clock = await book_of(redis, "ada", "bob"), Clock()
    cache = CardCache(book, clock)
    assert {name: card.display_name for name, card in (await cache.cards(["ada", "bob", "ada"])).items()} == {
        "ada": "ADA",
        "bob": "BOB",
    }
    await MemberBook(redis).put(Profile(MemberCard("ada", "Ada L."), 2.0, 2.0))
    clock.now += FRESH_S * 0.9
    assert (await cache.cards(["ada"]))["ada"].display_name == "ADA"
    clock.now += FRESH_S * 0.2
    assert (await cache.cards(["ada"]))["ada"].display_name == "Ada L."
    assert book.asked == [["ada", "bob"], ["ada"]]


async def test_that_there_is_no_such_member_is_kept_too_and_forgotten_on_demand(redis: Redis) -> None:
    book = await book_of(redis)
    cache = CardCache(book, Clock())
    assert await cache.cards(["ada"]) == {}
    await MemberBook(redis).put(Profile(MemberCard("ada", "Ada"), 1.0, 1.0))
    assert await cache.cards(["ada"]) == {}
    assert len(book.asked) == 1
    cache.forget("ada")
    assert list(await cache.cards(["ada"])) == ["ada"]


async def test_nothing_is_read_for_nobody(redis: Redis) -> None:
    book = await book_of(redis)
    assert await CardCache(book, Clock()).cards([]) == {}
    assert book.asked == []


async def test_while_redis_is_away_only_fresh_cards_are_shown_and_nobody_asks_again_for_a_while(redis: Redis) -> None:
    book, clock = await book_of(redis, "ada", "bob"), Clock()
    cache = CardCache(book, clock)
    await cache.cards(["ada"])
    book.failing = True
    assert list(await cache.cards(["ada", "bob"])) == ["ada"]
    book.failing = False
    assert list(await cache.cards(["ada", "bob"])) == ["ada"]
    assert len(book.asked) == 2
    clock.now += PAUSE_S + 0.1
    assert sorted(await cache.cards(["ada", "bob"])) == ["ada", "bob"]
    book.failing = True
    clock.now += FRESH_S + 0.1
    assert await cache.cards(["ada"]) == {}  # who was deleted meanwhile must not be shown


async def test_a_redis_that_hangs_is_not_waited_for(redis: Redis) -> None:
    book = await book_of(redis, "ada")
    book.hanging = True
    cache = CardCache(book)
    async with asyncio.timeout(2):
        assert await cache.cards(["ada"]) == {}
    assert await cache.cards(["ada"]) == {}
    assert len(book.asked) == 1


async def test_the_oldest_cards_make_room(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    book = await book_of(redis, "ada", "bob", "eve")
    cache = CardCache(book, Clock())
    monkeypatch.setattr(member_cards, "MOST_CARDS", 2)
    for name in ("ada", "bob", "eve", "eve", "bob", "ada"):
        await cache.cards([name])
    assert book.asked == [["ada"], ["bob"], ["eve"], ["ada"]]
