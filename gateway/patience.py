"""What a leader remembers from one look to the next: how long shards have been absent, and moves unchanged.

Both count only time in which this leader looked and Redis answered: whoever begins to lead, or reaches Redis again,
starts with a new memory. So neither a Redis that was away (heartbeats expire while it is) nor a leader that was
stopped can make a living shard look dead. Times are seconds of the leader's own monotonic clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Set


class Absences:
    def __init__(self, longest_gap_s: float) -> None:
        """A longer time between two looks counts as `longest_gap_s`: nobody looked meanwhile."""
        self._longest_gap_s = longest_gap_s
        self._looked_at: float | None = None
        self._absent: dict[str, float] = {}

    def look(self, expected: Set[str], present: Set[str], now: float) -> dict[str, float]:
        """How long each expected shard that is not present has been absent; 0 at the first look without it."""
        gap = 0.0 if self._looked_at is None else min(now - self._looked_at, self._longest_gap_s)
        self._looked_at = now
        before = self._absent
        self._absent = {shard: before[shard] + gap if shard in before else 0.0 for shard in expected - present}
        return dict(self._absent)


class Unchanged:
    def __init__(self) -> None:
        self._since: dict[str, tuple[object, float]] = {}

    def look(self, stages: Mapping[str, object], now: float) -> dict[str, float]:
        """How long each store has been in the stage it is in; 0 at the first look at it."""
        before = self._since
        self._since = {
            store: before[store] if store in before and before[store][0] == stage else (stage, now)
            for store, stage in stages.items()
        }
        return {store: now - since for store, (_, since) in self._since.items()}
