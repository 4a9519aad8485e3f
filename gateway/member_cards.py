"""Members' cards for searches and events: kept for a few seconds, and never worth waiting for.

A card that changes or goes is shown for that long by gateways other than the one that was told. While Redis does not
answer there are only the cards that are still fresh: a member who was deleted meanwhile must not be shown.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

from common.errors import TruthUnavailable
from common.members import MemberBook, MemberCard

FRESH_S = 3.0
WAIT_S = 0.2
"""how long a search waits for cards at most"""
PAUSE_S = 1.0
"""after a failure nobody waits again for so long"""
MOST_CARDS = 50_000


class CardCache:
    def __init__(self, book: MemberBook, clock: Callable[[], float] = time.monotonic) -> None:
        self._book = book
        self._clock = clock
        self._cards: dict[str, tuple[float, MemberCard | None]] = {}
        """member → when it was read, and what; oldest first"""
        self._not_before = 0.0

    def forget(self, member_id: str) -> None:
        self._cards.pop(member_id, None)

    async def cards(self, member_ids: Iterable[str]) -> dict[str, MemberCard]:
        """The cards of those that exist, as far as they are to be had now."""
        now = self._clock()
        wanted = set(member_ids)
        fresh = {name: self._cards[name][1] for name in wanted if self._is_fresh(name, now)}
        if missing := sorted(wanted - fresh.keys()):
            fresh |= await self._read(missing, now)
        return {name: card for name, card in fresh.items() if card is not None}

    def _is_fresh(self, member_id: str, now: float) -> bool:
        kept = self._cards.get(member_id)
        return kept is not None and now - kept[0] < FRESH_S

    async def _read(self, missing: list[str], now: float) -> dict[str, MemberCard | None]:
        if now < self._not_before:
            return {}
        try:
            async with asyncio.timeout(WAIT_S):
                profiles = await self._book.profiles(missing)
        except (TruthUnavailable, TimeoutError):
            self._not_before = self._clock() + PAUSE_S
            return {}
        read = {name: profiles[name].card if name in profiles else None for name in missing}
        for name, card in read.items():
            self._cards.pop(name, None)  # so that it moves to the end
            self._cards[name] = (now, card)
        while len(self._cards) > MOST_CARDS:
            del self._cards[next(iter(self._cards))]
        return read
