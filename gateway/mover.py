"""What people ask of the leader: move a store, even out the shards, drain one. It only writes orders; the leader, on
whatever gateway it is, carries them out.
"""

from __future__ import annotations

import contextlib

from common.cluster_map import ClusterMap, StoreConfig
from common.errors import Conflict, TruthUnavailable, UnknownShard, UnknownStore
from common.ledger import Ledger
from common.limits import check_name
from gateway.placement import Held, Plan, check_target, plan
from gateway.view import ClusterView


class Mover:
    def __init__(self, cluster_map: ClusterMap, ledger: Ledger, view: ClusterView) -> None:
        self._map = cluster_map
        self._ledger = ledger
        self._view = view

    async def move(self, store: str, shard: str) -> tuple[StoreConfig, bool]:
        """Order the store to be moved; the second value says whether there is anything to do. An earlier order that is
        not done yet is replaced.

        Raises InvalidRequest, UnknownStore, UnknownShard (not alive), Conflict (being drained), TruthUnavailable.
        """
        check_name("shard", shard)
        await self._view.refresh()
        config = self._view.stores.get(store)
        if config is None:
            raise UnknownStore(f"Store {store} does not exist.", field="store")
        if (config.shard, config.moving_to) == (shard, None):
            await self._cancel(store)
            return config, False
        check_target(shard, self._view.shards, self._view.orders.draining)
        await self._map.order_moves({store: shard})
        await self._see_own_order()
        return config, True

    async def _cancel(self, store: str) -> None:
        ordered = self._view.orders.moves.get(store)
        if ordered is not None:
            await self._map.order_done(store, ordered)
            await self._see_own_order()

    async def rebalance(self, *, dry_run: bool) -> Plan:
        """The plan, which is ordered unless it is a `dry_run`. Raises TruthUnavailable."""
        await self._view.refresh()
        stores, orders = self._view.stores, self._view.orders
        rows = await self._ledger.counts(list(stores))
        held = [Held(store, self._goal(config), rows[store]) for store, config in stores.items()]
        planned = plan(held, self._view.shards.keys(), orders.draining)
        if not dry_run:
            await self._map.order_moves({move.store: move.target for move in planned.moves})
            await self._see_own_order()
        return planned

    def _goal(self, config: StoreConfig) -> str:
        return self._view.orders.moves.get(config.store) or config.moving_to or config.shard

    async def drain(self, shard: str) -> None:
        """Order the shard to get no stores and to give away those that it has.

        Raises InvalidRequest, UnknownShard, Conflict if no other live shard could take them, TruthUnavailable.
        """
        await self._check_known(shard)
        if not self._view.shards.keys() - self._view.orders.draining - {shard}:
            raise Conflict(f"No other live shard could take the stores of {shard}.", field="shard")
        await self._map.drain(shard)
        await self._see_own_order()

    async def undrain(self, shard: str) -> None:
        """Let the shard get stores again; those that have begun to leave go on. Raises InvalidRequest, UnknownShard,
        TruthUnavailable."""
        await self._check_known(shard)
        await self._map.drain(shard, undo=True)
        await self._see_own_order()

    async def _check_known(self, shard: str) -> None:
        check_name("shard", shard)
        await self._view.refresh()
        placed = {config.shard for config in self._view.stores.values()}
        if shard not in self._view.shards.keys() | placed | self._view.orders.draining:
            raise UnknownShard(f"There is no shard {shard}.", field="shard")

    async def _see_own_order(self) -> None:
        with contextlib.suppress(TruthUnavailable):  # it is done; "nothing was changed" would be a lie
            await self._view.refresh()
