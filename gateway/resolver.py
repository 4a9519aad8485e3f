"""Settling what waited: the leader searches pending sightings again, in the order they were made, until none is left.

In order, and one after the other within a group: strangers among them are enrolled as they would have been, and the
next one already finds them. Two faces of one picture are two persons: who is settled is noted, in the same step, in
what still waits of the picture, so that the next leader knows it too. What still cannot be searched ends the turn for
its group; nothing overtakes it. Two leaders (an old one that does not know yet) only do the same work twice: commits
compare, and visits are idempotent.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence

from common.cluster_map import StoreConfig
from common.errors import FacegridError, TruthUnavailable
from common.events import order
from common.pending import Pending, Waiting
from gateway.deadline import Deadline
from gateway.duty import in_turns
from gateway.look import Sighting
from gateway.sight import Outcome, Sighter
from gateway.view import ClusterView

PAUSE_S = 0.5
log = logging.getLogger("facegrid.resolver")


class Resolver:
    def __init__(self, view: ClusterView, pending: Pending, sighter: Sighter, deadline_s: float) -> None:
        self._view = view
        self._pending = pending
        self._sighter = sighter
        self._deadline_s = deadline_s
        self.waiting = 0
        """sightings found waiting at the last look; 0 while this gateway does not lead"""

    async def run(self, leading: Callable[[], bool]) -> None:
        """Settle whatever waits, while this gateway leads, until cancelled."""

        async def turn() -> float:
            return 0 if await self.turn() else PAUSE_S

        def leads() -> bool:
            if not leading():
                self.waiting = 0
            return leading()

        await in_turns("Settling what waits", turn, leads, PAUSE_S)

    async def turn(self) -> int:
        """One batch of each group; how many were settled. Raises TruthUnavailable."""
        groups: defaultdict[tuple[str, str], list[StoreConfig]] = defaultdict(list)
        names = sorted(await self._pending.stores())
        self.waiting = sum((await self._pending.counts(names)).values())
        for name in names:
            store = self._view.stores.get(name)
            if store is not None:
                groups[store.group, store.space].append(store)
            elif self._view.truth_reachable:
                await self._pending.forget_store(name)
        return sum([await self._group(stores) for stores in groups.values()])

    async def _group(self, stores: list[StoreConfig]) -> int:
        waiting: list[tuple[Waiting, StoreConfig]] = []
        for store in stores:
            entries = await self._pending.entries(store.store)
            if not entries:
                await self._pending.forget_store(store.store)
            waiting += [(entry, store) for entry in entries]
        waiting.sort(key=lambda one: (one[0].at_ms, one[1].store, order(one[0].id)))
        pictures: defaultdict[str, list[Waiting]] = defaultdict(list)
        for entry, _ in waiting:
            pictures[entry.picture].append(entry)
        for settled, (entry, store) in enumerate(waiting, 1):
            beside = [one for one in pictures[entry.picture] if one is not entry] if entry.picture else []
            if not await self._settle(entry, store, beside):
                return settled - 1
            if beside:
                return settled  # they are other entries now
        return len(waiting)

    async def _settle(self, entry: Waiting, store: StoreConfig, beside: Sequence[Waiting]) -> bool:
        try:
            async with Deadline(self._deadline_s) as deadline:
                sighting = Sighting(store, entry.at_ms, entry.photos, entry, beside)
                (sighted,) = await self._sighter.sight(sighting, entry.probe[None], deadline)
        except TruthUnavailable:
            raise
        except FacegridError as error:
            log.warning("A pending sighting of store %s waits on. %s", store.store, error.detail)
            return False
        return sighted.outcome is not Outcome.PENDING
