"""Which shard takes a new store: never by hash (a hash cannot be asked, moved or balanced), always by load."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from common.cluster_map import Heartbeat, StoreConfig
from common.errors import NoLiveShard, UnknownShard


def rows_of(beats: Iterable[Heartbeat]) -> int:
    """The rows of a shard: those of its fullest replica, since one that is loading knows less."""
    return max((sum(view.rows for view in beat.stores.values()) for beat in beats), default=0)


def place(wanted: str | None, stores: Iterable[StoreConfig], live: Mapping[str, tuple[Heartbeat, ...]]) -> str:
    """The shard asked for, or the live one with the fewest rows, then the fewest stores, then the first by name.

    Raises NoLiveShard if there is none, UnknownShard if the one asked for is not alive.
    """
    if not live:
        raise NoLiveShard("No shard has announced itself; start one with `facegrid shard`.")
    if wanted is not None:
        if wanted not in live:
            raise UnknownShard(f"Shard {wanted} is not alive; there are {', '.join(sorted(live))}.", field="shard")
        return wanted
    placed = Counter(config.shard for config in stores)
    return min(live, key=lambda shard: (rows_of(live[shard]), placed[shard], shard))
