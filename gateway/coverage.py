"""What a search really looked at: the report that every answer, and every refusal for want of it, carries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.replica_set import Cause

NOT_SERVED = "STORE_NOT_SERVED"
"""the replicas answered, but none of them has the store in memory"""


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which stores, rows and shards a search looked at, and which it should have. A store counts once."""

    stores: frozenset[str]
    searched: dict[str, int]
    """store → version at which it was searched"""
    rows: int
    rows_missing: int | None
    """of the stores not searched, as last known; None: not known of all of them"""
    shards: frozenset[str]
    """where the stores belong"""
    failed: dict[str, tuple[Cause, ...]]
    """shard → why stores that belong there were not searched, in order of time; empty: no replica has them"""

    @property
    def full(self) -> bool:
        return self.searched.keys() == self.stores

    @property
    def missing(self) -> list[str]:
        return sorted(self.stores - self.searched.keys())

    def __or__(self, other: Coverage) -> Coverage:
        """Both searches together; their stores must not overlap, or rows would be counted twice."""
        unknown = self.rows_missing is None or other.rows_missing is None
        return Coverage(
            self.stores | other.stores,
            self.searched | other.searched,
            self.rows + other.rows,
            None if unknown else (self.rows_missing or 0) + (other.rows_missing or 0),
            self.shards | other.shards,
            self.failed | other.failed,
        )

    def report(self) -> dict[str, Any]:
        """As answers show it."""
        return {
            "stores": {"total": len(self.stores), "searched": len(self.searched), "missing": self.missing},
            "rows": self.rows,
            "rows_missing": self.rows_missing,
            "shards": {
                "total": len(self.shards),
                "ok": len(self.shards) - len(self.failed),
                "failed": [_failure(shard, causes) for shard, causes in sorted(self.failed.items())],
            },
        }


def _failure(shard: str, causes: tuple[Cause, ...]) -> dict[str, Any]:
    return {
        "shard": shard,
        "code": causes[-1].code if causes else NOT_SERVED,
        "causes": [{"replica": cause.replica, "code": cause.code} for cause in causes],
    }
