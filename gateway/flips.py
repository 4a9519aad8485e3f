"""What is left to do once a store was flipped into another embedding space: its map entry.

Whoever flipped it writes the entry next. If that gateway dies in between, writes to the store are refused until another
does: whoever repeats the migration, or the leader, which looks at the stores that are noted as being flipped.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace

from common.cluster_map import ClusterMap, StoreConfig
from common.errors import Conflict, FacegridError, TruthUnavailable, UnknownStore
from common.incarnations import creation
from common.migrations import Migrations
from gateway.duty import in_turns
from gateway.view import ClusterView

ATTEMPTS = 5
"""to write the map entry while it is changed by others"""
PAUSE_S = 1.0
log = logging.getLogger("facegrid.flips")


class Flips:
    def __init__(self, cluster_map: ClusterMap, migrations: Migrations, view: ClusterView) -> None:
        self._map = cluster_map
        self._migrations = migrations
        self._view = view

    async def run(self, leading: Callable[[], bool]) -> None:
        """Finish what others have left, while this gateway leads, until cancelled."""

        async def turn() -> float:
            await self.turn()
            return PAUSE_S

        await in_turns("Finishing changes of space", turn, leading, PAUSE_S)

    async def turn(self) -> None:
        """Look at every store that is noted, once. Raises TruthUnavailable."""
        noted = await self._migrations.noted()
        if noted:
            await self._view.refresh()  # after that: a store is in the map before it is noted
        for name, incarnation in noted:
            try:
                await self._look_at(name, incarnation)
            except TruthUnavailable:
                raise
            except FacegridError as error:  # of this store: the others shall not wait for it
                log.warning("Store %s has changed its space, and the map does not say so yet. %s", name, error.detail)

    async def _look_at(self, name: str, incarnation: str) -> None:
        store = self._view.stores.get(name)
        if store is not None and store.incarnation == incarnation:
            store = await self.finish(store)
        if store is None or store.incarnation != incarnation:
            await self._migrations.strike(name, incarnation)

    async def finish(self, store: StoreConfig) -> StoreConfig:
        """Write the map entry of a store that was flipped; the store as it is, if it was not.

        Raises UnknownStore, Conflict (others keep changing the entry), TruthUnavailable."""
        flipped = await self._migrations.flipped_into(store)
        if flipped is None:
            return store
        for _ in range(ATTEMPTS):
            new = replace(
                store,
                space=flipped.space,
                dimension=flipped.dimension,
                incarnation=flipped.incarnation,
                threshold=None,
                margin=None,
            )
            try:
                await self._map.update(store, new)
            except Conflict:
                store = await self._as_it_is_now(store)
                if store.incarnation == new.incarnation:
                    return store
                continue
            log.info("Store %s is in space %s", store.store, new.space)
            with contextlib.suppress(TruthUnavailable):  # it is done; "nothing was changed" would be a lie
                await self._view.refresh()
            return new
        raise Conflict(f"Store {store.store} was changed by others meanwhile.", field="store")

    async def _as_it_is_now(self, before: StoreConfig) -> StoreConfig:
        """After another changed its entry: the leader does while it moves the store."""
        await self._view.refresh()
        now = self._view.stores.get(before.store)
        if now is None or creation(now.incarnation) != creation(before.incarnation):
            raise UnknownStore(f"Store {before.store} was deleted meanwhile.", field="store")
        return now
