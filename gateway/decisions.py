"""What the leader does next: from what should be and what is to a list of steps. Pure; the leader carries them out.

A move is three compare-and-sets of the store's map entry, and wherever a leader dies, the next one reads from the map
how far it has come:

    shard=s1                                ordered (or s1 is being drained)
    shard=s1 moving_to=s2     loading       every ready replica of s2 serves it, all gateways have heard so (the grace),
                                            and each has all that is committed → switch
    shard=s2 moving_from=s1   leaving       every gateway has heard so (the grace) → s1 drops it
    shard=s2

Searches ask `shard`; a write that waits to be visible waits for all that serve the store, so either shard may be asked
during a grace. A target that dies or is to be drained while it loads: the move is given up, nothing is lost. A target
that dies after the switch: the store goes back to where it still is. A shard that is dead (for `dead_after`) has its
stores placed on those alive, which load them from Redis; one that returns takes back nothing by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from common.cluster_map import Heartbeat, Orders, StoreConfig
from common.types import ReplicaState

LOADING_AT_ONCE = 4
"""stores that are loaded by the shard they move to; each costs Redis and that shard a scan of all its faces"""
HEALED_AT_ONCE = 8
"""stores of dead shards that are placed anew in one step"""


@dataclass(frozen=True, slots=True)
class Look:
    """All that a decision depends on."""

    stores: Mapping[str, StoreConfig]
    shards: Mapping[str, tuple[Heartbeat, ...]]
    """the replicas heard of, by shard"""
    orders: Orders = field(default_factory=Orders)
    dead: Set[str] = frozenset()
    """shards without a live replica for `dead_after`"""
    settled: Set[str] = frozenset()
    """moving stores whose stage, and the replicas that serve them, have not changed for the grace"""
    faces: Mapping[str, int] = field(default_factory=dict)
    """store → faces in Redis; needed only while stores have to be placed"""

    @property
    def takers(self) -> Set[str]:
        """The shards that may be given a store."""
        return self.shards.keys() - self.orders.draining


@dataclass(frozen=True, slots=True)
class Change:
    """Replace the map entry `present` by `new`."""

    present: StoreConfig
    new: StoreConfig
    why: str
    confirm: bool = False
    """first ask every ready replica of the new shard whether it has all that is committed"""


@dataclass(frozen=True, slots=True)
class Void:
    """Forget an order: it has been begun, is done, or cannot be."""

    store: str
    shard: str
    why: str


Step: TypeAlias = Change | Void


def decide(look: Look) -> list[Step]:
    """The steps to take now, at most one Change a store; none where all is as it should be."""
    return [*_heal(look), *_go_on(look), *_begin(look)]


def servers(shards: Mapping[str, tuple[Heartbeat, ...]], shard: str, store: str) -> frozenset[str] | None:
    """The boots of the shard's ready replicas, if there are any and all of them serve the store; else None."""
    ready = [beat for beat in shards.get(shard, ()) if beat.state is ReplicaState.READY]
    if not ready or any(store not in beat.stores for beat in ready):
        return None
    return frozenset(beat.boot for beat in ready)


def stage(config: StoreConfig, shards: Mapping[str, tuple[Heartbeat, ...]]) -> object:
    """What has to last for the grace before a move goes on: the entry, and who serves the store where it moves to."""
    return config, servers(shards, config.moving_to or config.shard, config.store)


def stranded(look: Look) -> list[str]:
    """Shards that are dead or to be drained, have stores, and nobody takes them."""
    left = (look.dead | look.orders.draining) & {config.shard for config in look.stores.values()}
    return [] if look.takers else sorted(left)


def _go_on(look: Look) -> Iterator[Change]:
    for store, config in sorted(look.stores.items()):
        if config.shard in look.dead:
            continue
        if config.moving_to is not None:
            yield from _loading(look, config, config.moving_to)
        elif config.moving_from is not None and _may_leave(look, config, config.moving_from):
            yield Change(config, replace(config, moving_from=None), f"store {store} has left {config.moving_from}")


def _loading(look: Look, config: StoreConfig, target: str) -> Iterator[Change]:
    if look.orders.moves.get(config.store, target) != target:
        why = f"the move of store {config.store} to {target} is given up for another order"
        yield Change(config, replace(config, moving_to=None), why)
    elif target in look.dead | look.orders.draining:
        why = f"the move of store {config.store} to {target} is given up: that shard is dead or being drained"
        yield Change(config, replace(config, moving_to=None), why)
    elif config.store in look.settled and servers(look.shards, target, config.store):
        new = replace(config, shard=target, moving_to=None, moving_from=config.shard)
        yield Change(config, new, f"{target} serves store {config.store}; it is searched there", confirm=True)


def _may_leave(look: Look, config: StoreConfig, source: str) -> bool:
    served = servers(look.shards, config.shard, config.store) is not None
    return source == config.shard or (served and config.store in look.settled)


def _heal(look: Look) -> Iterator[Change]:
    if not look.takers or not look.dead:
        return
    load = _load(look)
    lost = [config for config in look.stores.values() if config.shard in look.dead]
    lost.sort(key=lambda config: (-look.faces.get(config.store, 0), config.store))
    for config in lost[:HEALED_AT_ONCE]:
        known = [shard for shard in config.served_by[1:] if shard in look.takers]
        target = known[0] if known else _least(load, look.takers)
        load[target] += look.faces.get(config.store, 0)
        new = replace(config, shard=target, moving_to=None, moving_from=None)
        yield Change(config, new, f"shard {config.shard} is dead; store {config.store} is loaded by {target}")


def _begin(look: Look) -> Iterator[Step]:
    free = LOADING_AT_ONCE - sum(config.moving_to is not None for config in look.stores.values())
    moves: dict[str, str] = {}
    for store, target in sorted(look.orders.moves.items()):
        config = look.stores.get(store)
        if why := _void(look, config, target):
            yield Void(store, target, f"the order to move store {store} to {target} is over: {why}")
        elif config is not None and _may_begin(look, config) and target in look.shards:
            moves[store] = target
    for store, target in list(moves.items())[: max(0, free)]:
        yield _begun(look.stores[store], target)
    leaving = [c for c in look.stores.values() if c.shard in look.orders.draining and c.store not in look.orders.moves]
    yield from _drain(look, [c for c in leaving if _may_begin(look, c)], free - len(moves))


def _void(look: Look, config: StoreConfig | None, target: str) -> str:
    """Why the order need not, or cannot, be carried out any more; empty while it stands."""
    if config is None:
        return "the store is gone"
    if config.moving_to == target:
        return "it has begun"
    if config.moving_to is None and config.shard == target:
        return "it is there"
    return f"{target} is dead or being drained" if target in look.dead | look.orders.draining else ""


def _may_begin(look: Look, config: StoreConfig) -> bool:
    return config.shard not in look.dead and config.moving_to is None and config.moving_from is None


def _drain(look: Look, leaving: Collection[StoreConfig], free: int) -> Iterator[Change]:
    if not look.takers:
        return
    load = _load(look)
    leaving = sorted(leaving, key=lambda config: (-look.faces.get(config.store, 0), config.store))
    for config in leaving[: max(0, free)]:
        target = _least(load, look.takers)
        load[target] += look.faces.get(config.store, 0)
        yield _begun(config, target)


def _begun(config: StoreConfig, target: str) -> Change:
    return Change(config, replace(config, moving_to=target), f"store {config.store} moves to {target}, which loads it")


def _load(look: Look) -> dict[str, int]:
    """Faces by shard, each store counted where it is going."""
    load = dict.fromkeys(look.shards, 0)
    for store, config in look.stores.items():
        goal = config.moving_to or config.shard
        if goal in load:
            load[goal] += look.faces.get(store, 0)
    return load


def _least(load: Mapping[str, int], takers: Set[str]) -> str:
    return min(takers, key=lambda shard: (load[shard], shard))
