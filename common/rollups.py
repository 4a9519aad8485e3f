"""Days whose visits are no longer kept: their figures, and who came as HyperLogLogs. The only code that reads or
writes them in Redis.

A day is written twice. A day after its end it is *noted*: its persons are added to the HyperLogLogs while they still go
by the names they had. Visitors are erased after a month, and their visits then go on under another name; without the
note they would count twice, once in the days that were rolled up before and once in those after. For the same reason a
member is added under the key of the face that was seen first. When no sighting of that day is accepted any more it is
*rolled up*: its figures are written, and its visits may be dropped. Nobody can be taken out of a HyperLogLog: who is
made staff, or merged into somebody, after a day was noted stays one of its persons.

`head` says how far the roll-up has come. Every write compares it, so one of two leaders cannot write down what it read
while the other was dropping visits.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from common import keys
from common.cluster_map import StoreConfig
from common.incarnations import creation
from common.truth import truth

HEAD = "head"
HLL_ERROR = 0.0081
"""standard error of Redis's HyperLogLog (16,384 registers)"""


@dataclass(frozen=True, slots=True)
class Head:
    """Days before `until_ms` are rolled up, the last one is `day`."""

    until_ms: int = 0
    day: str = ""

    @classmethod
    def read(cls, text: bytes | None) -> Head:
        if text is None:
            return cls()
        until, _, day = text.decode().partition(" ")
        return cls(int(until), day)

    def written(self) -> str:
        return f"{self.until_ms} {self.day}" if self.day else ""


@dataclass(frozen=True, slots=True)
class Sums:
    """Figures that add up."""

    pv: int = 0
    new: int = 0
    """persons never seen before at the store"""
    new_in_group: int = 0
    dwell_ms: int = 0
    minutes: Mapping[int, int] = field(default_factory=dict)
    """visits by their length in whole minutes"""
    person_ms: int = 0
    """time that persons were there, together"""
    peak: int = 0
    """most persons at one time"""


@dataclass(frozen=True, slots=True)
class Day:
    """One local day of a store, [start_ms, end_ms); without `sums` it is only noted."""

    date: str
    start_ms: int
    end_ms: int
    sums: Sums | None = None

    @property
    def middle_ms(self) -> int:
        return (self.start_ms + self.end_ms) // 2

    def touches(self, start_ms: int, end_ms: int) -> bool:
        return self.start_ms < end_ms and self.end_ms > start_ms

    def to_json(self) -> str:
        sums = None if self.sums is None else asdict(self.sums)
        return json.dumps({"start": self.start_ms, "end": self.end_ms, "sums": sums}, separators=(",", ":"))

    @classmethod
    def from_json(cls, date: str, raw: bytes) -> Day:
        read = json.loads(raw)
        day = cls(date, read["start"], read["end"])
        if read["sums"] is None:
            return day
        sums = Sums(**read["sums"])
        return replace(day, sums=replace(sums, minutes={int(at): count for at, count in sums.minutes.items()}))


@dataclass(frozen=True, slots=True)
class Came:
    """Persons to be counted, by name; `members` are some of them."""

    persons: Collection[str] = ()
    members: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Union:
    """HyperLogLogs as Redis stores them: who came in some days, and who of them is a member."""

    persons: bytes
    members: bytes


class Rollups:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._write = redis.register_script((Path(__file__).parent / "rollup.lua").read_text())

    async def days(self, store: str, dates: Sequence[str]) -> tuple[Head, dict[str, Day]]:
        """How far the store's roll-up has come, and what is written of these dates."""
        with truth():
            found: Any = await self._redis.hmget(keys.rollups(store), [HEAD, *dates])
        written = zip(dates, found[1:], strict=True)
        return Head.read(found[0]), {date: Day.from_json(date, raw) for date, raw in written if raw is not None}

    async def note(self, store: StoreConfig, head: Head, day: Day, came: Came) -> bool:
        """Write down who came. False, and nothing done, if the head is not `head` any more, or the store another."""
        return await self._put(store, head, "", day, came)

    async def roll(self, store: StoreConfig, head: Head, day: Day, came: Came) -> Head | None:
        """Write down the day's figures; the head after it. None, and nothing done, if it is not `head` any more,
        or the store another."""
        following = Head(day.end_ms, day.date)
        return following if await self._put(store, head, following.written(), day, came) else None

    async def _put(self, store: StoreConfig, head: Head, following: str, day: Day, came: Came) -> bool:
        name = store.store
        sketches = [keys.distinct(name, day.date), keys.distinct_members(name, day.date)]
        with truth(outcome="unknown"):
            done = await self._write(
                keys=[keys.incarnation(name), keys.rollups(name), *sketches],
                args=[
                    *(creation(store.incarnation), head.written(), following, day.date, day.to_json()),
                    str(len(came.persons)),
                    *came.persons,
                    *came.members,
                ],
            )
        return bool(done)

    async def union(self, store: str, dates: Sequence[str], came: Came) -> Union:
        """Who came on these noted or rolled-up dates, and those of `came`."""
        with truth(outcome="unknown"):
            return Union(
                await self._merged(store, [keys.distinct(store, date) for date in dates], came.persons),
                await self._merged(store, [keys.distinct_members(store, date) for date in dates], came.members),
            )

    async def _merged(self, store: str, sketches: Sequence[str], also: Collection[str]) -> bytes:
        name = keys.union(store, secrets.token_hex(8))
        pipe = self._redis.pipeline(transaction=True)  # what is left behind of a part of it, nobody would remove
        pipe.pfmerge(name, *sketches)
        if also:
            pipe.pfadd(name, *also)
        pipe.get(name)
        pipe.unlink(name)
        answers = await pipe.execute()
        merged: bytes = answers[-2]
        return merged

    async def count(self, sketches: Sequence[bytes], groups: Sequence[Sequence[int]]) -> list[int]:
        """How many different persons are in each group of the HyperLogLogs, which are given by their positions."""
        names = [keys.union("union", secrets.token_hex(8)) for _ in sketches]
        with truth(outcome="unknown"):
            pipe = self._redis.pipeline(transaction=True)
            for name, sketch in zip(names, sketches, strict=True):
                pipe.set(name, sketch)
            for group in groups:
                pipe.pfcount(*(names[at] for at in group))
            pipe.unlink(*names)
            answers: list[int] = await pipe.execute()
        return answers[len(names) : -1]
