"""Which shard takes a store: never by hash (a hash cannot be asked, moved or balanced), always by load.

Pure functions. Load is rows: they are what a shard keeps in memory and compares with every probe.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass

from common.cluster_map import Heartbeat, StoreConfig
from common.errors import Conflict, NoLiveShard, UnknownShard

EVEN_ENOUGH = 0.1
"""shards whose rows differ by less than this share of their mean stay as they are"""


def rows_of(beats: Iterable[Heartbeat]) -> int:
    """The rows of a shard: those of its fullest replica, since one that is loading knows less."""
    return max((sum(view.rows for view in beat.stores.values()) for beat in beats), default=0)


def place(
    wanted: str | None,
    stores: Iterable[StoreConfig],
    live: Mapping[str, tuple[Heartbeat, ...]],
    draining: Set[str] = frozenset(),
) -> str:
    """The shard asked for, or the live one with the fewest rows, then the fewest stores, then the first by name.

    Raises NoLiveShard if there is none that takes stores, UnknownShard if the one asked for is not alive, Conflict if
    that one is being drained.
    """
    if not live:
        raise NoLiveShard("No shard has announced itself; start one with `facegrid shard`.")
    if wanted is not None:
        return check_target(wanted, live, draining)
    takers = live.keys() - draining
    if not takers:
        raise NoLiveShard(f"Every live shard is being drained: {', '.join(sorted(live))}.")
    placed = Counter(config.shard for config in stores)
    return min(takers, key=lambda shard: (rows_of(live[shard]), placed[shard], shard))


def check_target(shard: str, live: Mapping[str, tuple[Heartbeat, ...]], draining: Set[str]) -> str:
    """Return the shard if it can take a store. Raises UnknownShard, Conflict."""
    if shard not in live:
        raise UnknownShard(f"Shard {shard} is not alive; there are {', '.join(sorted(live)) or 'none'}.", field="shard")
    if shard in draining:
        raise Conflict(f"Shard {shard} is being drained and takes no store.", field="shard")
    return shard


@dataclass(frozen=True, slots=True)
class Held:
    """A store as the plan sees it."""

    store: str
    shard: str
    rows: int


@dataclass(frozen=True, slots=True)
class Move:
    store: str
    source: str
    target: str
    rows: int


@dataclass(frozen=True, slots=True)
class Plan:
    moves: tuple[Move, ...]
    before: dict[str, int]
    """shard → rows"""
    after: dict[str, int]


def plan(stores: Iterable[Held], live: Set[str], draining: Set[str]) -> Plan:
    """Few moves that leave the live shards about even and those being drained empty.

    Stores of draining shards go first, the largest first, each to the shard with the fewest rows. Then, as long as the
    fullest and the emptiest shard differ by more than EVEN_ENOUGH, the store that brings the two closest moves between
    them; it ends where none does. A store on a shard that is not alive stays: that is for the healing to decide.
    """
    held: dict[str, dict[str, Held]] = {shard: {} for shard in live}
    for one in stores:
        if one.shard in held:
            held[one.shard][one.store] = one
    load = {shard: sum(one.rows for one in there.values()) for shard, there in held.items()}
    before, takers = dict(load), sorted(live - draining)
    moves: dict[str, Move] = {}

    def move(one: Held, source: str, target: str) -> None:
        del held[source][one.store]
        held[target][one.store] = one
        load[source] -= one.rows
        load[target] += one.rows
        moves[one.store] = Move(one.store, one.shard, target, one.rows)

    if takers:
        leaving = [one for shard in live & draining for one in held[shard].values()]
        for one in sorted(leaving, key=lambda one: (-one.rows, one.store)):
            move(one, one.shard, min(takers, key=lambda shard: (load[shard], len(held[shard]), shard)))
    even = EVEN_ENOUGH * sum(load[shard] for shard in takers) / max(1, len(takers))
    while takers:
        low, high = (pick(takers, key=lambda shard: (load[shard], shard)) for pick in (min, max))
        gap = load[high] - load[low]
        closest = min(held[high].values(), key=lambda one: (abs(gap - 2 * one.rows), one.store), default=None)
        if gap <= even or closest is None or not 0 < closest.rows < gap:
            break
        move(closest, high, low)
    done = [one for one in moves.values() if one.source != one.target]
    return Plan(tuple(sorted(done, key=lambda one: (-one.rows, one.store))), before, load)
