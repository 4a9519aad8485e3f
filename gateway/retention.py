"""Nobody is remembered for longer than the store's settings say: the leader erases faces not seen for so long.

Visitors after `retention_days`; members after `member_retention_days`, where that is set; staff never. One that is seen
at this very moment stays: the commit compares. What is erased keeps its visits, under a name that leads to nobody
(`rekeying`). Each turn takes one page of each store, so that a backlog of a year never makes a search wait; members who
stay are passed over and do not hold up the visitors behind them.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Sequence

from common.cluster_map import StoreConfig
from common.errors import FacegridError, SpaceChanging, TruthUnavailable, UnknownStore, VersionConflict
from common.expiry import Aged, Cursors, Expiry
from common.intervals import DAY_MS
from common.ledger import Delete, Ledger
from common.limits import RETENTION_DAYS
from gateway.duty import in_turns
from gateway.rekeying import Rekeying
from gateway.view import ClusterView

PAGE = 200
"""faces of a store looked at in a turn"""
PAUSE_S = 60.0

log = logging.getLogger("facegrid.retention")


def unseen_since_ms(standing: str, store: StoreConfig, now_ms: int) -> int | None:
    """Who was last seen then, or before, is erased; None: in no case. `standing` as in `keys.standings`."""
    if standing.startswith("s"):
        return None
    if standing:
        days = store.member_retention_days
    else:
        days = RETENTION_DAYS if store.retention_days is None else store.retention_days
    return None if days is None else now_ms - days * DAY_MS


def expired(faces: Sequence[Aged], store: StoreConfig, now_ms: int) -> list[Delete]:
    """Which of the faces to erase, unless they are seen meanwhile."""
    found = []
    for face in faces:
        limit = unseen_since_ms(face.standing, store, now_ms)
        if limit is not None and face.seen_ms <= limit:
            found.append(Delete(face.face_id, unless_seen_after_ms=limit))
    return found


class Retention:
    def __init__(self, view: ClusterView, ledger: Ledger, expiry: Expiry, rekeying: Rekeying, visit_days: int) -> None:
        self._view = view
        self._ledger = ledger
        self._expiry = expiry
        self._rekeying = rekeying
        self._visit_days = visit_days
        self._passed: dict[str, int] = {}
        """store → the number of its longest unseen faces that were looked at and stay"""
        self._trimmed: defaultdict[str, Cursors] = defaultdict(Cursors)

    async def run(self, leading: Callable[[], bool]) -> None:
        """Take a turn a minute while this gateway leads, until cancelled. A task of its own: a turn may take longer
        than a lease, and two at a time do no harm."""

        async def turn() -> float:
            await self.turn()
            return PAUSE_S

        await in_turns("Erasing what is too old", turn, leading, PAUSE_S)

    async def turn(self) -> None:
        """Do what erasures have left; then, at each store, erase a page of what is too old. Raises TruthUnavailable."""
        await self._rekeying.turn()
        stores = list(self._view.stores.values())
        now_ms = int(time.time() * 1000)
        for store in stores:
            try:
                await self._erase_page(store, now_ms)
            except TruthUnavailable:
                raise
            except FacegridError as error:  # no reason to keep other stores waiting
                log.warning("What has to be erased at one store waits for the next turn: %s", error.code)
            before_ms = now_ms - self._visit_days * DAY_MS
            await self._expiry.trim(store.store, before_ms, self._trimmed[store.store], self._view.stores)
        names = {store.store for store in stores}
        for gone in (self._passed.keys() | self._trimmed.keys()) - names:
            self._passed.pop(gone, None)
            self._trimmed.pop(gone, None)

    async def _erase_page(self, store: StoreConfig, now_ms: int) -> None:
        passed = self._passed.get(store.store, 0)
        version = await self._ledger.version(store.store)  # first: who is made a member from here on stays
        page = await self._expiry.oldest(store.store, passed, PAGE)
        deletes = expired(page, store, now_ms)
        erased = await self._erase(store, deletes, version) if deletes else 0
        limits = [unseen_since_ms(standing, store, now_ms) for standing in ("", "m")]
        last = page[-1].seen_ms if len(page) == PAGE else now_ms
        more = any(limit is not None and last <= limit for limit in limits)
        self._passed[store.store] = passed + len(page) - erased if more else 0

    async def _erase(self, store: StoreConfig, deletes: Sequence[Delete], version: int) -> int:
        """How many of them are gone; none if anything else was written since `version`: the next turn looks again."""
        try:
            done = await self._ledger.commit(store.store, store.incarnation, deletes=deletes, expected_version=version)
        except (SpaceChanging, VersionConflict, UnknownStore):
            return 0
        log.info("Erased %d faces of one store, unseen for longer than they are kept", done.deleted)
        # Not by their rows: nobody waits who was not seen for so long, and with so many somebody is like one of them.
        await self._rekeying.follow_up(store.store, dict.fromkeys(delete.face_id for delete in deletes))
        return done.deleted
