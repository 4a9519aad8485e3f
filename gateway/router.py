"""From stores to shards and back: asks every shard concerned at once and merges what they say.

It never raises because a shard failed: it reports what was searched and what was not, and the caller draws the
verdict. Sharded answers equal unsharded ones: each shard gives its top k, ordered (-score, store, face_id), and the
merge keeps that order.

While a store moves, two shards have it in memory, and which of them changes while searches run. So what the shard that
the map names does not answer for is asked of the others that serve the store, and then, if the map has changed since,
of those that it names now.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from operator import attrgetter
from typing import NamedTuple, TypeAlias

from common.cluster_map import Heartbeat, StoreConfig
from common.errors import StaleReplica, TruthUnavailable
from common.types import Candidate, ReplicaState, StoreView
from common.wire import Query, QueryReply
from gateway.coverage import Coverage
from gateway.deadline import Deadline
from gateway.replica_set import Question, ReplicaSet, ShardAnswer, ToShard, Track
from gateway.shard_client import Cause
from gateway.store_set import StoreSet, by_shard
from gateway.view import ClusterView

KEPT_BACK = 0.2
"""the part of the remaining time that waiting for a version leaves for the search after it"""
SCORE: Callable[[Candidate], float] = attrgetter("score")
FRESH_S = 0.05
"""a view no older than this is not read again: while a shard loads, every search finds stores that it does not serve"""


class Found(NamedTuple):
    candidates: tuple[tuple[Candidate, ...], ...]
    """per probe, best first"""
    coverage: Coverage


@dataclass(frozen=True, slots=True)
class Seen:
    """The last full coverage of a set of stores, and what it followed from."""

    searched: Sequence[Mapping[str, StoreView]]
    coverage: Coverage

    def still(self, searched: Sequence[Mapping[str, StoreView]]) -> bool:
        """Whether replicas said the same again. Of many stores that is only looked at by identity: what is said of them
        is read as the same object for as long as it is the same."""
        if len(searched) != len(self.searched):
            return False
        if len(self.coverage.stores) == 1:
            return searched == self.searched
        return all(one is other for one, other in zip(searched, self.searched, strict=True))


class Gathered:
    """What the shards have said so far."""

    __slots__ = ("_viewed", "_views", "causes", "coverage", "replies")

    def __init__(self) -> None:
        self.replies: list[QueryReply] = []
        self.causes: dict[str, list[Cause]] = {}
        """by shard asked"""
        self.coverage: Coverage | None = None
        """where it is known already what follows from the replies"""
        self._views: Mapping[str, StoreView] = {}
        self._viewed = 0

    def take(self, shard: str, answer: ShardAnswer) -> None:
        self.replies += answer.replies
        if answer.causes:
            self.causes[shard] = [*self.causes.get(shard, ()), *answer.causes]

    @property
    def views(self) -> Mapping[str, StoreView]:
        """Of the replies together; only put together where somebody asks."""
        for reply in self.replies[self._viewed :]:
            self._views = {**self._views, **reply.searched} if self._views else reply.searched
        self._viewed = len(self.replies)
        return self._views

    def unanswered(self, stores: Iterable[StoreConfig]) -> list[StoreConfig]:
        views = self.views
        return [config for config in stores if config.store not in views]


Ask: TypeAlias = tuple[Mapping[str, Mapping[str, str]], Question, Gathered]
"""By shard, store → incarnation; what to ask of them; and where the answers go."""


class Router:
    def __init__(self, view: ClusterView, replica_set: ReplicaSet) -> None:
        self._view = view
        self._replica_set = replica_set
        self._seen: dict[str, StoreView] = {}
        """of each store, when it was last searched"""

    async def search(self, stores: StoreSet, question: Question, deadline: Deadline) -> Found:
        (found,) = await self.search_each([(stores, question)], deadline)
        return found

    async def search_each(self, searches: Sequence[tuple[StoreSet, Question]], deadline: Deadline) -> list[Found]:
        """Several, at the same time. What is asked of one shard leaves together: a task for each search would cost more
        than all else that is done for it."""
        gathering = [(stores, question, Gathered()) for stores, question in searches]
        await self._ask([(stores.asked_first, question, one) for stores, question, one in gathering], deadline)
        further = []
        for stores, question, one in gathering:
            one.coverage = _as_before(stores, one)
            if one.coverage is None and len(one.views) < len(stores):
                further.append(self._ask_further(stores, question, deadline, one))
        if further:
            await asyncio.gather(*further)
        return [self._found(stores, question, one) for stores, question, one in gathering]

    async def search_at(self, home: StoreConfig, version: int, question: Question, deadline: Deadline) -> Found:
        """Search one store at `version` or later: by any replica if that one has it, else by the first that reaches it
        in the time left. Raises StaleReplica."""
        found = await self.search(self._view.alone(home), question, deadline)
        left = self._replicas_of(home)
        while (present := found.coverage.searched.get(home.store, -1)) < version:
            wait_s = deadline.remaining_s() * (1 - KEPT_BACK)
            beat = await self._replica_set.first_with(left, home, version, wait_s)
            if beat is None:
                raise StaleReplica(
                    f"No replica of store {home.store} reached version {version} in time.",
                    field="min_version",
                    wanted=version,
                    present=None if present < 0 else present,
                )
            left.remove(beat)
            found = await self._search_by(beat, home, question, deadline)
        return found

    async def _search_by(self, beat: Heartbeat, store: StoreConfig, question: Question, deadline: Deadline) -> Found:
        gathered, names = Gathered(), {store.store: store.incarnation}
        track, query = question.track(beat.shard, names), question.to(names)
        gathered.take(beat.shard, await self._replica_set.search_by(track, beat, query, deadline))
        return self._found(self._view.alone(store), question, gathered)

    async def is_visible(self, store: StoreConfig, version: int, deadline: Deadline) -> bool:
        """Whether every replica that searches of the store are sent to serves `version` before the deadline.

        One that is still loading and does not serve the store yet is asked only if its shard has no other: it will read
        the write with everything else. While the store moves, another gateway may be searching it at the other shard.
        """
        store = self._as_it_is_now(store)
        home, *others = ([*self._view.shards.get(shard, ())] for shard in store.served_by)
        beats = [beat for beat in home if beat.state is ReplicaState.READY or store.store in beat.stores] or home
        beats += [beat for other in others for beat in other if store.store in beat.stores]
        reached = await asyncio.gather(
            *(self._replica_set.has_version(beat, store, version, deadline) for beat in beats)
        )
        return bool(reached) and all(reached)

    def _as_it_is_now(self, store: StoreConfig) -> StoreConfig:
        """Its entry may have changed since the request began: the store moves, and more shards must have the write."""
        now = self._view.stores.get(store.store)
        return now if now is not None and now.incarnation == store.incarnation else store

    async def _ask_further(self, stores: StoreSet, question: Question, deadline: Deadline, gathered: Gathered) -> None:
        """What the shard that each store was asked of first did not answer for."""
        await self._ask_in_turn(stores.configs, question, deadline, gathered, first=1)
        if moved := await self._moved(gathered.unanswered(stores.configs), gathered):
            await self._ask_in_turn(moved, question, deadline, gathered)

    async def _ask_in_turn(
        self,
        stores: Iterable[StoreConfig],
        question: Question,
        deadline: Deadline,
        gathered: Gathered,
        first: int = 0,
    ) -> None:
        """Each store's shards, one after the other, until one has answered; all stores at the same time."""
        for turn in count(first):
            names = by_shard(gathered.unanswered(stores), turn)
            if not names:
                return
            await self._ask([(names, question, gathered)], deadline)

    async def _ask(self, asks: Iterable[Ask], deadline: Deadline) -> None:
        together: dict[Track, list[tuple[Query, Gathered]]] = {}
        for names, question, gathered in asks:
            for shard, stores in names.items():
                together.setdefault(question.track(shard, stores), []).append((question.to(stores), gathered))
        to_shards = [
            ToShard(track, self._view.shards.get(track.shard, ()), [query for query, _ in to])
            for track, to in together.items()
        ]
        answers = await self._replica_set.search_each(to_shards, deadline)
        for (track, to), of_shard in zip(together.items(), answers, strict=True):
            for (_, gathered), answer in zip(to, of_shard, strict=True):
                gathered.take(track.shard, answer)

    async def _moved(self, unanswered: Sequence[StoreConfig], gathered: Gathered) -> list[StoreConfig]:
        """Those of the unanswered stores that somebody else serves by now: the shard asked no longer has them, and the
        map of a moment ago did not say so yet."""
        if not any(not gathered.causes.get(config.shard) for config in unanswered) or not self._view.truth_reachable:
            return []
        if self._view.age_s > FRESH_S:
            with contextlib.suppress(TruthUnavailable):
                await self._view.refresh()
        now = ((config, self._view.stores.get(config.store)) for config in unanswered)
        return [
            new
            for old, new in now
            if new is not None and new.incarnation == old.incarnation and new.served_by != old.served_by
        ]

    def _replicas_of(self, store: StoreConfig) -> list[Heartbeat]:
        return [beat for shard in store.served_by for beat in self._view.shards.get(shard, ())]

    def _found(self, stores: StoreSet, question: Question, gathered: Gathered) -> Found:
        if len(gathered.replies) == 1:
            candidates = gathered.replies[0].candidates
        else:
            lists = [reply.candidates for reply in gathered.replies] or [((),) * len(question.probes)]
            candidates = tuple([merge(of_probe, question.top_k) for of_probe in zip(*lists, strict=True)])
        return Found(candidates, gathered.coverage or self._coverage(stores, gathered))

    def _coverage(self, stores: StoreSet, gathered: Gathered) -> Coverage:
        self._seen.update(gathered.views)
        unanswered = gathered.unanswered(stores.configs) if len(gathered.views) < len(stores) else []
        missing = [self._last_rows(config) for config in unanswered]
        known = [rows for rows in missing if rows is not None]
        coverage = Coverage(
            stores=stores,
            views=gathered.views,
            rows_missing=sum(known) if len(known) == len(missing) else None,
            failed={config.shard: _causes(config, gathered) for config in unanswered},
        )
        if coverage.full:
            stores.last_seen = Seen([reply.searched for reply in gathered.replies], coverage)
        return coverage

    def _last_rows(self, store: StoreConfig) -> int | None:
        """Rows of the store at the latest version that a replica announced or a search found."""
        known = [beat.stores[store.store] for beat in self._replicas_of(store) if store.store in beat.stores]
        known += [self._seen[store.store]] if store.store in self._seen else []
        return max(known, key=lambda view: view.version).rows if known else None


def _as_before(stores: StoreSet, gathered: Gathered) -> Coverage | None:
    """Searches that were told the same share a coverage."""
    last = stores.last_seen
    if isinstance(last, Seen) and last.still([reply.searched for reply in gathered.replies]):
        return last.coverage
    return None


def _causes(store: StoreConfig, gathered: Gathered) -> tuple[Cause, ...]:
    """What went wrong at the shards that should have answered for the store; the one it belongs to last."""
    return tuple(cause for shard in reversed(store.served_by) for cause in gathered.causes.get(shard, ()))


def merge(ranked: Iterable[Sequence[Candidate]], top_k: int) -> tuple[Candidate, ...]:
    """The best `top_k` of several ranked lists, one per (store, face_id), ordered (-score, store, face_id)."""
    candidates = sorted(chain.from_iterable(ranked), key=SCORE, reverse=True)
    if len({*map(SCORE, candidates)}) < len(candidates):  # hardly ever: the whole key costs more than the rest here
        candidates.sort(key=lambda one: (-one.score, one.store, one.face_id))
    best: dict[tuple[str, str], Candidate] = {}
    for candidate in candidates:
        if len(best) == top_k:
            break
        best.setdefault(candidate[:2], candidate)
    return tuple(best.values())
