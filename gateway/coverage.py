"""What a search really looked at: the report that every answer, and every refusal for want of it, carries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import orjson

from common.types import StoreView
from gateway.shard_client import Cause
from gateway.store_set import StoreSet

NOT_SERVED = "STORE_NOT_SERVED"
"""the replicas answered, but none of them has the store in memory"""


@dataclass(frozen=True, eq=False)
class Coverage:
    """Which stores, rows and shards a search looked at, and which it should have. Searches that found the same share
    one, so that what follows from it is worked out once."""

    stores: StoreSet
    views: Mapping[str, StoreView]
    """of the stores searched: at which version, and how many rows"""
    rows_missing: int | None
    """of the stores not searched, as last known; None: not known of all of them"""
    failed: Mapping[str, tuple[Cause, ...]]
    """shard → why stores that belong there were not searched, in order of time; empty: no replica has them"""

    @cached_property
    def full(self) -> bool:
        """By name: a home that left the group meanwhile was searched too, and stands for none of the others."""
        return len(self.views) >= len(self.stores) and self.stores.names <= self.views.keys()

    @property
    def missing(self) -> list[str]:
        return sorted(self.stores.names - self.views.keys())

    @cached_property
    def searched(self) -> dict[str, int]:
        """store → version at which it was searched."""
        return {store: view.version for store, view in self.views.items()}

    def version(self, store: str) -> int | None:
        """At which the store was searched; None: it was not."""
        view = self.views.get(store)
        return None if view is None else view.version

    @cached_property
    def rows(self) -> int:
        """Searched."""
        return sum([view.rows for view in self.views.values()])

    def with_home(self, store: str, view: StoreView) -> Coverage:
        """For a search that looked at one of the stores by itself, as `view` says, and at the others like this."""
        if self.views.get(store) == view:
            return self
        views = {**self.views, store: view}
        if store in self.views:
            return replace(self, views=views)
        still_missing = {config.shard for config in self.stores.configs if config.store not in views}
        failed = {shard: causes for shard, causes in self.failed.items() if shard in still_missing}
        missing = None if self.rows_missing is None else max(0, self.rows_missing - view.rows)
        return replace(self, views=views, failed=failed, rows_missing=missing if still_missing else 0)

    def report(self) -> dict[str, Any]:
        """As answers show it."""
        missing = self.missing
        return {
            "stores": {"total": len(self.stores), "searched": len(self.stores) - len(missing), "missing": missing},
            "rows": self.rows,
            "rows_missing": self.rows_missing,
            "shards": {
                "total": len(self.stores.shards),
                "ok": len(self.stores.shards) - len(self.failed),
                "failed": [_failure(shard, causes) for shard, causes in sorted(self.failed.items())],
            },
        }

    @cached_property
    def report_json(self) -> bytes:
        return orjson.dumps(self.report())

    @cached_property
    def versions_json(self) -> bytes:
        return orjson.dumps(self.searched)


def _failure(shard: str, causes: tuple[Cause, ...]) -> dict[str, Any]:
    return {
        "shard": shard,
        "code": causes[-1].code if causes else NOT_SERVED,
        "causes": [{"replica": cause.replica, "code": cause.code} for cause in causes],
    }
