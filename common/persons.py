"""Who a person key stands for now: its face, what kind it is, and whose. Reads what commits maintain in Redis."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from common import keys
from common.truth import truth
from common.types import Kind
from common.visits import home_of


@dataclass(frozen=True, slots=True)
class Person:
    """A face that is there."""

    store: str
    """its home"""
    face_id: str
    kind: Kind
    member_id: str | None = None
    """whose, where it is a member's: staff are nobody's customers, bound or not"""


class Persons:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def find(self, persons: Iterable[str]) -> dict[str, Person]:
        """Person key → who that is; without those whose face, or its store, is gone. Raises TruthUnavailable."""
        by_home: defaultdict[str, dict[str, tuple[str, str]]] = defaultdict(dict)
        for key in persons:
            if (home := home_of(key)) is not None:
                store, incarnation, face_id = home
                by_home[store][key] = (incarnation, face_id)
        found: dict[str, Person] = {}
        for store, asked in by_home.items():
            found |= await self._at_home(store, asked)
        return found

    async def _at_home(self, store: str, asked: dict[str, tuple[str, str]]) -> dict[str, Person]:
        face_ids = [face_id for _, face_id in asked.values()]
        with truth():
            pipe = self._redis.pipeline(transaction=True)  # together: else one might be erased between the answers
            pipe.get(keys.incarnation(store))
            pipe.zmscore(keys.seen(store), face_ids)  # every face is there; the records themselves hold its row
            pipe.hmget(keys.standings(store), face_ids)
            answers: list[Any] = await pipe.execute()
        current = (answers[0] or b"").decode()
        rows = zip(asked.items(), answers[1], answers[2], strict=True)
        return {
            key: _person(store, face_id, standing)
            for (key, (incarnation, face_id)), seen, standing in rows
            if seen is not None and incarnation and current.startswith(incarnation)
        }


def _person(store: str, face_id: str, standing: bytes | None) -> Person:
    letter, _, member_id = (standing or b"").decode().partition(":")
    kind = {"s": Kind.STAFF, "m": Kind.MEMBER}.get(letter, Kind.VISITOR)
    return Person(store, face_id, kind, (member_id or None) if kind is Kind.MEMBER else None)
