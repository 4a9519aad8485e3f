"""Stores: create, change, list, delete, and how the shards that serve them are doing."""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from common.cluster_map import ClusterMap, Heartbeat, StoreConfig
from common.errors import Conflict, TruthUnavailable, UnknownStore
from common.incarnations import creation
from common.ledger import Ledger
from common.limits import LEAST_FPIR, check_name, check_range, check_store_name
from common.types import DLIB_SPACE
from gateway.footfall.calendar import zone_of
from gateway.placement import place
from gateway.spaces import Spaces
from gateway.view import ClusterView

CLEARED = frozenset(
    {"threshold", "target_fpir", "margin", "reentry_window_s", "retention_days", "member_retention_days"}
)
"""settings that have a default of their own, to go back to"""
SETTINGS = CLEARED | {"group", "timezone"}
ATTEMPTS = 5
"""to change a store's settings while its map entry is changed by others"""


@dataclass(frozen=True, slots=True)
class StoreChange:
    """What a PUT asks for; a None leaves what is there, or the default for a new store."""

    shard: str | None = None
    group: str | None = None
    timezone: str | None = None
    space: str | None = None
    threshold: float | None = None
    target_fpir: float | None = None
    margin: float | None = None
    reentry_window_s: int | None = None
    retention_days: int | None = None
    member_retention_days: int | None = None
    clear: frozenset[str] = frozenset()
    """settings to go back to their default"""

    def check(self) -> None:
        if self.shard is not None:
            check_name("shard", self.shard)
        if self.group is not None:
            check_name("group", self.group)
        if self.threshold is not None:
            check_range("threshold", self.threshold, -1.0, 1.0)
        if self.target_fpir is not None:
            check_range("target_fpir", self.target_fpir, LEAST_FPIR, 0.5)
        if self.margin is not None:
            check_range("margin", self.margin, 0.0, 2.0)
        if self.timezone is not None:
            zone_of(self.timezone)


class Catalogue:
    def __init__(self, cluster_map: ClusterMap, ledger: Ledger, view: ClusterView, spaces: Spaces) -> None:
        self._map = cluster_map
        self._ledger = ledger
        self._view = view
        self._spaces = spaces

    async def put(self, store: str, change: StoreChange) -> tuple[StoreConfig, bool]:
        """Create the store or change its settings; the second value says whether it is new.

        Raises InvalidRequest, UnknownSpace, NoLiveShard, UnknownShard, Conflict (another shard than it is on: that is a
        move; another space: that is a migration), TruthUnavailable.
        """
        check_store_name(store)
        change.check()
        await self._view.refresh()
        present = self._view.stores.get(store)
        if present is not None:
            return await self._change(present, change), False
        view = self._view
        shard = place(change.shard, view.stores.values(), view.shards, view.orders.draining)
        space = self._spaces.of(change.space or DLIB_SPACE)
        fresh = StoreConfig(store, shard, space=space.name, dimension=space.dimension, created=time.time())
        created = await self._map.create(_changed(fresh, change))
        await self._see_own_change()
        return created, True

    async def _change(self, present: StoreConfig, change: StoreChange) -> StoreConfig:
        if change.shard not in (None, present.shard):
            detail = (
                f"Store {present.store} is on shard {present.shard}; POST /v1/stores/{present.store}/move moves it."
            )
            raise Conflict(detail, field="shard")
        _check_space(present, change)
        for _ in range(ATTEMPTS - 1):
            try:
                return await self._replace(present, _changed(present, change))
            except Conflict:
                present = await self._as_it_is_now(present, change)
        return await self._replace(present, _changed(present, change))

    async def _replace(self, present: StoreConfig, new: StoreConfig) -> StoreConfig:
        if new != present:
            await self._map.update(present, new)
            await self._see_own_change()
        return new

    async def _as_it_is_now(self, before: StoreConfig, change: StoreChange) -> StoreConfig:
        """The store's entry after another changed it: the leader does while it moves a store, and a migration. Raises
        Conflict if it is not the same store any more, or the change was meant for the space that it had."""
        await self._view.refresh()
        now = self._view.stores.get(before.store)
        if now is None or creation(now.incarnation) != creation(before.incarnation):
            raise Conflict(f"Store {before.store} was deleted meanwhile.", field="store")
        _check_space(now, change)
        if now.space != before.space and (change.threshold, change.margin) != (None, None):
            detail = f"Store {now.store} has changed to space {now.space} meanwhile; scores mean something else there."
            raise Conflict(detail, field="margin" if change.threshold is None else "threshold")
        return now

    async def delete(self, store: str, *, force: bool) -> None:
        """Raises UnknownStore, StoreNotEmpty (unless `force`), Conflict, TruthUnavailable."""
        await self._view.refresh()
        present = self._view.stores.get(store)
        if present is None:
            raise UnknownStore(f"Store {store} does not exist.", field="store")
        await self._map.delete(present, force=force)
        await self._see_own_change()

    async def _see_own_change(self) -> None:
        with contextlib.suppress(TruthUnavailable):  # it is done; "nothing was changed" would be a lie
            await self._view.refresh()

    async def faces(self, stores: Sequence[StoreConfig]) -> dict[str, int]:
        """Each store's number of faces in Redis; while it is away, the rows that the shards serve."""
        try:
            return await self._ledger.counts([config.store for config in stores])
        except TruthUnavailable:
            return {config.store: self._rows_served(config) for config in stores}

    def _rows_served(self, config: StoreConfig) -> int:
        beats = self._view.shards.get(config.shard, ())
        return max((beat.stores[config.store].rows for beat in beats if config.store in beat.stores), default=0)

    async def lags(self) -> list[tuple[Heartbeat, int]]:
        """Each live replica and how many versions it is behind the truth, over all stores its shard should serve."""
        stores, shards = self._view.stores, self._view.shards
        truth = await self._ledger.versions(list(stores))
        by_shard: dict[str, list[str]] = defaultdict(list)
        for config in stores.values():
            by_shard[config.shard].append(config.store)
        return [
            (beat, sum(_behind(beat, store, truth[store]) for store in by_shard[shard]))
            for shard, beats in sorted(shards.items())
            for beat in beats
        ]


def _behind(beat: Heartbeat, store: str, version: int) -> int:
    served = beat.stores.get(store)
    return version if served is None else max(0, version - served.version)


def _check_space(present: StoreConfig, change: StoreChange) -> None:
    if change.space not in (None, present.space):
        detail = f"Store {present.store} is in space {present.space}; facegrid migrate encodes its faces anew."
        raise Conflict(detail, field="space")


def _changed(config: StoreConfig, change: StoreChange) -> StoreConfig:
    asked: dict[str, Any] = {name: getattr(change, name) for name in SETTINGS if getattr(change, name) is not None}
    cleared: dict[str, Any] = dict.fromkeys(change.clear & CLEARED)
    return replace(config, **cleared, **asked)
