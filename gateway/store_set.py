"""Stores that are searched together, and what follows from the map about them: worked out once, used by every search.

The view keeps one for each group and each store for as long as the map stays as it is, so that searches which ask the
same stores hold the same objects: calls to shards then carry the stores once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cached_property

from common.cluster_map import StoreConfig
from common.wire import Scope


class StoreSet:
    def __init__(self, configs: Iterable[StoreConfig]) -> None:
        self.configs = tuple(configs)
        self.names = frozenset(config.store for config in self.configs)
        self.last_seen: object = None
        """the router's, of its last search; here, so that it goes with the stores when the map changes"""

    def __len__(self) -> int:
        return len(self.configs)

    @cached_property
    def shards(self) -> frozenset[str]:
        """Where the stores belong."""
        return frozenset(config.shard for config in self.configs)

    @cached_property
    def asked_first(self) -> Mapping[str, Scope]:
        """By the shard that is asked first: store → incarnation."""
        return by_shard(self.configs, 0)


def by_shard(configs: Iterable[StoreConfig], turn: int) -> dict[str, Scope]:
    """By the shard that is asked in this turn: store → incarnation; without the stores that have no further shard."""
    shards: defaultdict[str, Scope] = defaultdict(Scope)
    for config in configs:
        if turn < len(config.served_by):
            shards[config.served_by[turn]][config.store] = config.incarnation
    return dict(shards)
