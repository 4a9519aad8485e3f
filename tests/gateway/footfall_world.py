"""Stores with a history in a real Redis, written by the real scripts; a report needs no shard and no gateway."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Self
from zoneinfo import ZoneInfo

from redis.asyncio import Redis

from common.cluster_map import ClusterMap, StoreConfig
from common.intervals import DAY_MS
from common.ledger import Delete, Ledger, Put
from common.members import MemberBook, MemberCard, Profile
from common.pending import Pending
from common.persons import Persons
from common.records import FaceRecord, pack_vectors
from common.rekeys import Rekeys
from common.rollups import Rollups
from common.types import DLIB_SPACE, Kind
from common.visits import Seen, Visits
from gateway.footfall.calendar import Bucket
from gateway.footfall.reading import Reader
from gateway.footfall.report import Asked, Report, Reporter
from gateway.footfall.rollup import RollUp
from gateway.footfall.sources import Sources
from gateway.view import ClusterView
from tests.gateway.in_process import unit

VIENNA = "Europe/Vienna"
KEPT_DAYS = 10
"""visits are kept so long here"""
MINUTE = 60_000
ROW = unit(1)


def ms(text: str, zone: str = VIENNA) -> int:
    """Of a local date or date-time."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * 1000


@dataclass
class World:
    redis: Redis
    stores: dict[str, StoreConfig] = field(default_factory=dict)
    sightings: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    """store → face → times: what happened, for plain counting"""

    def __post_init__(self) -> None:
        self.map = ClusterMap(self.redis)
        self.ledger, self.visits, self.rollups = Ledger(self.redis), Visits(self.redis), Rollups(self.redis)
        self.pending, self.book = Pending(self.redis, 1000), MemberBook(self.redis)
        self.view = ClusterView(self.map, 0.1)
        self.reader = Reader(self.view, self.visits, Persons(self.redis), self.book)
        self.reporter = Reporter(self.view, Sources(self.visits, self.pending, self.rollups, self.reader))
        self.roll_up = RollUp(self.view, self.reader, (self.visits, self.pending, self.rollups), KEPT_DAYS)

    async def __aenter__(self) -> Self:
        await self.view.refresh()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nothing is kept open."""

    async def create(self, store: str, timezone: str = VIENNA, group: str = "default") -> StoreConfig:
        self.stores[store] = await self.map.create(StoreConfig(store, "s1", group=group, timezone=timezone))
        await self.view.refresh()
        return self.stores[store]

    async def enrol(
        self, home: str, face_id: str, standing: str = "", kind: Kind = Kind.VISITOR, seen_ms: int = 0
    ) -> None:
        record = FaceRecord(ROW[0], DLIB_SPACE, kind, 0, 0, 1).pack()
        put = Put(face_id, record, pack_vectors(ROW), standing=standing, seen_ms=seen_ms)
        await self.ledger.commit(home, self.stores[home].incarnation, puts=[put])

    async def enrol_member(self, member_id: str, *faces: tuple[str, str]) -> None:
        await self.book.put(Profile(MemberCard(member_id, member_id), 0, 0))
        for home, face_id in faces:
            await self.book.begin_binding(member_id, (home, face_id))
            await self.enrol(home, face_id, f"m:{member_id}", Kind.MEMBER)

    async def see(self, store: str, home: str, face_id: str, times: Iterable[int]) -> None:
        for at in times:
            assert await self.visits.record(Seen(self.stores[store], self.stores[home], face_id, at)) is not None
            self.sightings.setdefault(store, {}).setdefault(f"{home}/{face_id}", []).append(at)

    async def erase(self, home: str, face_id: str) -> None:
        """As an eraser does it: the face goes, its visits everywhere go on under a name that leads to nobody."""
        await self.ledger.commit(home, self.stores[home].incarnation, deletes=[Delete(face_id)])
        job = await Rekeys(self.redis).job(home, face_id)
        assert job is not None
        for store in self.stores.values():
            await self.visits.rekey(store, job.person, job.to)

    async def report(self, first: str, last: str, bucket: Bucket | None = None, **where: str) -> Report:
        asked = Asked(where.get("store"), where.get("group"), first, last, bucket, where.get("timezone"))
        return await self.reporter.report(asked, 0)

    async def roll_until_done(self, now_ms: int) -> int:
        written = 0
        while done := await self.roll_up.turn(now_ms):
            written += done
        return written

    async def months_of_trade(self, first: str, days: int, seed: int, people: int = 60) -> None:
        """Stores A and B, customers of either or both who come now and then, some of them members."""
        dice = random.Random(seed)
        for name in ("A", "B"):
            await self.create(name)
        midnight = ms(first)
        for number in range(people):
            home, face_id = dice.choice("AB"), f"f{number}"
            if number % 10 == 0:
                await self.enrol_member(f"c-{number}", (home, face_id))
            else:
                await self.enrol(home, face_id)
            for _ in range(dice.randint(1, 12)):
                store = home if dice.random() < 0.7 else dice.choice("AB")
                at = midnight + dice.randrange(days * DAY_MS)
                times = [at + nth * dice.randrange(20 * MINUTE) for nth in range(dice.randint(1, 4))]
                await self.see(store, home, face_id, times)
