"""All stores of this replica: what is in memory, how far it has come, and searches over any number of them.

Not locked: the follower writes under the gate while no search runs, searches read on threads in between. A store is
here only when it is wholly loaded; `searched` of a reply names exactly the stores that were. A store known to lack
acknowledged writes (`due`) is not searched until it has them.

The rows lie group by group (`shard.group`); how the queries of a call are answered from them is in `shard.answers`.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import inf
from typing import TypeAlias

import numpy as np

from common.cluster_map import StoreConfig
from common.errors import WrongSpace
from common.types import KnownAs, StoreView, Vectors
from common.wire import Query, QueryReply, Scope, SearchCall, Views
from shard.answers import ALONE, SCANNED_AT_ONCE, Asked, Company, answered
from shard.at_home import Home, found_at_home
from shard.gallery import Gallery
from shard.group import Group
from shard.nominees import SCANNED_ROWS, Owners, Part, rows_compared
from shard.rows import NOBODY

GroupKey: TypeAlias = tuple[str, str, int]
"""name, space, dimension"""


def same_creation(one: StoreConfig | ServedStore, other: StoreConfig) -> bool:
    """Whether rows of the one are rows of the other: a store deleted and created again shares only its name, one that
    changed its space also its faces."""
    return (one.incarnation, one.space) == (other.incarnation, other.space)


@dataclass(slots=True, eq=False)
class ServedStore:
    """A store in memory, up to its feed's `version`."""

    incarnation: str
    space: str
    gallery: Gallery
    version: int
    due: int = 0
    """the version that searches must see: below it the store is served but not searched"""
    group: str = "default"

    @property
    def view(self) -> StoreView:
        return StoreView(self.version, len(self.gallery))

    @property
    def key(self) -> GroupKey:
        return self.group, self.space, self.gallery.dimension


@dataclass(frozen=True, slots=True)
class Usable:
    """What a batch of records means for a gallery: `rows` (n, d) of `face_ids` to put, the faces to drop, and who those
    are that are no visitors."""

    face_ids: list[str]
    rows: Vectors
    drops: list[str]
    known: dict[str, KnownAs]
    photos: list[int]
    """behind each of `rows`"""


class ShardIndex:
    """`written` is set whenever rows have changed."""

    def __init__(self) -> None:
        self._stores: dict[str, ServedStore] = {}
        self._groups: dict[GroupKey, Group] = {}
        self._last_asked: tuple[Mapping[str, str], Asked] | None = None
        """until the next write: a whole group is asked about again and again, a thousand stores take 0.3 ms"""
        self._changes = 0
        self.written = asyncio.Event()

    def __contains__(self, store: str) -> bool:
        return store in self._stores

    def __iter__(self) -> Iterator[str]:
        return iter(self._stores)

    def __len__(self) -> int:
        return len(self._stores)

    def __getitem__(self, store: str) -> ServedStore:
        return self._stores[store]

    @property
    def groups(self) -> list[Group]:
        return list(self._groups.values())

    def views(self) -> dict[str, StoreView]:
        return {store: served.view for store, served in self._stores.items()}

    def version(self, store: str, incarnation: str) -> int:
        """The version applied; 0 for a store, or a creation of it, that is not served."""
        served = self._served(store, incarnation)
        return 0 if served is None else served.version

    def _served(self, store: str, incarnation: str) -> ServedStore | None:
        served = self._stores.get(store)
        return served if served is not None and served.incarnation == incarnation else None

    def install(self, store: str, served: ServedStore) -> None:
        """Serve it, instead of what was served of the store before."""
        self._group_of(served).admit(store, served.gallery)
        self.remove(store)
        self._stores[store] = served
        self._changed(self._group_of(served))

    def remove(self, store: str) -> None:
        served = self._stores.pop(store, None)
        if served is not None:
            group = self._group_of(served)
            group.forget(served.gallery.number)
            served.gallery.leave()
            self._changed(group)

    def regroup(self, store: str, name: str) -> None:
        """Move the store's rows to those of another group."""
        served = self._stores[store]
        old, number = self._group_of(served), served.gallery.number
        served.group = name
        self._group_of(served).admit(store, served.gallery)
        old.forget(number)
        self._changed(old)

    def apply(self, store: str, faces: Usable, version: int) -> None:
        """Put and drop rows of a served store, which is at `version` then. Raises ValueError like `Gallery.put`."""
        served = self._stores[store]
        served.gallery.put(faces.face_ids, faces.rows, faces.known, faces.photos)
        served.gallery.drop(faces.drops)
        served.version = version
        self._changed(self._group_of(served))

    def note_due(self, store: str, version: int) -> None:
        """Search the store no more before it is at this version."""
        self._stores[store].due = version
        self._forget_asked()

    def _group_of(self, served: ServedStore) -> Group:
        key = served.key
        if key not in self._groups:
            self._groups[key] = Group(*key)
        return self._groups[key]

    def _changed(self, group: Group) -> None:
        if not group.present:
            self._groups = {key: other for key, other in self._groups.items() if other is not group}
        self._forget_asked()
        self.written.set()

    def _forget_asked(self) -> None:
        self._changes += 1
        self._last_asked = None

    def products(self, call: SearchCall) -> int:
        """How many products of a probe and a row the call takes, or what takes as long."""
        at_home = [query for query in call.queries if len(query.stores) == 1]
        wide = [query for query in call.queries if len(query.stores) != 1]
        products = [len(query.probes) * self._rows_at_home(query) for query in at_home]
        asked = zip(wide, self._asked_each(wide), strict=True)
        return sum(products) + sum([len(query.probes) * self._compared(query, one) for query, one in asked])

    def _rows_at_home(self, query: Query) -> int:
        served = self._served(*next(iter(query.stores.items())))
        return 0 if served is None else len(served.gallery)

    def _compared(self, query: Query, asked: Asked) -> int:
        """Rows, for each probe."""
        homes = (self._stores[home].gallery for home in set(query.homes or ()) if home in self._stores)
        passed_over = max(map(len, homes), default=0)
        return sum(part.rows if query.exact else rows_compared(part, passed_over) for part in asked.parts)

    def answer(self, call: SearchCall, give_up_at: float = inf, company: Company = ALONE) -> tuple[QueryReply, ...]:
        """Search, for each query of the call, the stores asked for that are served here, as if they were one gallery.

        Raises WrongSpace if one of them has another embedding space or dimension, DeadlineExceeded once
        `time.monotonic()` passes `give_up_at`.
        """
        found = self.answer_at_home(call, SCANNED_AT_ONCE) if time.monotonic() < give_up_at else None
        return self.answer_fully(call, give_up_at, company) if found is None else found

    def answer_fully(
        self, call: SearchCall, give_up_at: float = inf, company: Company = ALONE
    ) -> tuple[QueryReply, ...]:
        """The same by the way that has an answer to everything."""
        asked = self._asked_each(call.queries)
        for query, one in zip(call.queries, asked, strict=True):
            for part in one.parts:
                _check_space(part.group, call.space, query.probes.shape[1])
        return tuple(answered(call.queries, asked, self._numbers, give_up_at, company))

    def answer_at_home(self, call: SearchCall, most: int) -> tuple[QueryReply, ...] | None:
        """The same where each query is about one store, all of the same group. None where anything else is asked for,
        where it takes more than `most` products, where codes are faster, or where `found_at_home` has no answer."""
        homes: list[Home] = []
        views: list[StoreView] = []
        products = 0
        for stores, probes, top_k, _, passed_over in call.queries:
            if len(stores) != 1 or passed_over is not None or top_k != call.queries[0].top_k:
                return None
            ((store, incarnation),) = stores.items()
            served = self._served(store, incarnation)
            if served is None or served.version < served.due or served.space != call.space:
                return None
            if len(served.gallery) > SCANNED_ROWS and self._groups[served.key].codes is not None:
                return None
            homes.append(Home(store, served.gallery, probes))
            views.append(served.view)
            products += len(probes) * len(served.gallery)
        found = found_at_home(homes, call.queries[0].top_k) if homes and products <= most else None
        if found is None:
            return None
        each = iter(found)
        replies = zip(homes, views, strict=True)
        return tuple([QueryReply({home.store: view}, tuple(islice(each, len(home.probes)))) for home, view in replies])

    def _asked_each(self, queries: Sequence[Query]) -> list[Asked]:
        """By each query; those about the very same stores share it."""
        known: dict[int, Asked] = {}
        for query in queries:
            if id(query.stores) not in known:
                known[id(query.stores)] = self._asked(query.stores)
        return [known[id(query.stores)] for query in queries]

    def _asked(self, stores: Mapping[str, str]) -> Asked:
        if len(stores) == 1:
            return self._look_up_one(*next(iter(stores.items())))
        last = self._last_asked
        if last is not None and (last[0] is stores or last[0] == stores):
            return last[1]
        changes = self._changes
        asked = self._look_up(stores)
        if changes == self._changes:  # `note_due` may come while a search looks up on its thread
            self._last_asked = stores if isinstance(stores, Scope) else dict(stores), asked
        return asked

    def _look_up_one(self, store: str, incarnation: str) -> Asked:
        """As `_look_up`, which takes twice the time."""
        served = self._served(store, incarnation)
        if served is None or served.version < served.due:
            return Asked({}, ())
        return Asked({store: served.view}, (Part.of(self._groups[served.key], [served.gallery]),))

    def _look_up(self, stores: Mapping[str, str]) -> Asked:
        searched = Views()
        galleries: defaultdict[GroupKey, list[Gallery]] = defaultdict(list)
        for store, incarnation in stores.items():
            served = self._served(store, incarnation)
            if served is not None and served.version >= served.due:
                searched[store] = served.view
                galleries[served.key].append(served.gallery)
        parts = (Part.of(self._groups[key], theirs) for key, theirs in galleries.items())
        return Asked(searched, tuple(parts))

    def _numbers(self, group: Group, stores: Sequence[str]) -> Owners:
        if len(stores) == 1:
            return np.array([self._number(group, stores[0])], dtype=np.int32)
        numbers = {store: self._number(group, store) for store in set(stores)}
        return np.array([numbers[store] for store in stores], dtype=np.int32)

    def _number(self, group: Group, store: str) -> int:
        served = self._stores.get(store)
        return NOBODY if served is None or self._groups[served.key] is not group else served.gallery.number


def _check_space(group: Group, space: str, dimension: int) -> None:
    if (space, dimension) != (group.space, group.dimension):
        detail = f"Stores of group {group.name} hold {group.space} of {group.dimension} numbers"
        raise WrongSpace(f"{detail}, the probes are {space} of {dimension}.", field="space", limit=group.space)
