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
import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from common.cluster_map import Heartbeat, StoreConfig
from common.errors import StaleReplica, TruthUnavailable
from common.types import Candidate, ReplicaState, StoreView
from common.wire import QueryReply
from gateway.coverage import Coverage
from gateway.deadline import Deadline
from gateway.replica_set import Question, ReplicaSet, ShardAnswer
from gateway.shard_client import Cause
from gateway.store_set import StoreSet, by_shard
from gateway.view import ClusterView

KEPT_BACK = 0.2
"""the part of the remaining time that waiting for a version leaves for the search after it"""
FRESH_S = 0.05
"""a view no older than this is not read again: while a shard loads, every search finds stores that it does not serve"""


@dataclass(frozen=True, slots=True)
class Found:
    candidates: tuple[tuple[Candidate, ...], ...]
    """per probe, best first"""
    coverage: Coverage


@dataclass(frozen=True, slots=True)
class Seen:
    """The last full coverage of a set of stores, and what it followed from."""

    searched: Sequence[Mapping[str, StoreView]]
    coverage: Coverage

    def still(self, searched: Sequence[Mapping[str, StoreView]]) -> bool:
        """Whether replicas said the same again. Of many stores that is only looked at for searches that left together
        and share what they were told."""
        if len(searched) != len(self.searched):
            return False
        if len(self.coverage.stores) == 1:
            return searched == self.searched
        return all(one is other for one, other in zip(searched, self.searched, strict=True))


@dataclass(slots=True)
class Gathered:
    """What the shards have said so far."""

    replies: list[QueryReply] = field(default_factory=list)
    views: dict[str, StoreView] = field(default_factory=dict)
    causes: defaultdict[str, list[Cause]] = field(default_factory=lambda: defaultdict(list))
    """by shard asked"""

    def take(self, shard: str, answer: ShardAnswer) -> None:
        self.replies += answer.replies
        self.views |= answer.searched
        if answer.causes:
            self.causes[shard] += answer.causes

    def unanswered(self, stores: Iterable[StoreConfig]) -> list[StoreConfig]:
        return [config for config in stores if config.store not in self.views]


class Router:
    def __init__(self, view: ClusterView, replica_set: ReplicaSet) -> None:
        self._view = view
        self._replica_set = replica_set
        self._seen: dict[str, StoreView] = {}
        """of each store, when it was last searched"""

    async def search(self, stores: StoreSet, question: Question, deadline: Deadline) -> Found:
        gathered = Gathered()
        await self._ask(stores.asked_first, question, deadline, gathered)
        if len(gathered.views) < len(stores):
            await self._ask_further(stores, question, deadline, gathered)
        return self._found(stores, question, gathered)

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
        gathered, stores = Gathered(), self._view.alone(store)
        names = {store.store: store.incarnation}
        gathered.take(beat.shard, await self._replica_set.search_by(beat, names, question, deadline))
        return self._found(stores, question, gathered)

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
            await self._ask(names, question, deadline, gathered)

    async def _ask(
        self, names: Mapping[str, Mapping[str, str]], question: Question, deadline: Deadline, gathered: Gathered
    ) -> None:
        """`names`: by shard, store → incarnation."""
        calls = [
            self._replica_set.search(self._view.shards.get(shard, ()), stores, question, deadline)
            for shard, stores in names.items()
        ]
        answers = await asyncio.gather(*calls) if len(calls) > 1 else [await call for call in calls]
        for shard, answer in zip(names, answers, strict=True):
            gathered.take(shard, answer)

    async def _moved(self, unanswered: Sequence[StoreConfig], gathered: Gathered) -> list[StoreConfig]:
        """Those of the unanswered stores that somebody else serves by now: the shard asked no longer has them, and the
        map of a moment ago did not say so yet."""
        if not any(not gathered.causes[config.shard] for config in unanswered) or not self._view.truth_reachable:
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
        return Found(candidates, self._coverage(stores, gathered))

    def _coverage(self, stores: StoreSet, gathered: Gathered) -> Coverage:
        """Searches that were told the same share a coverage."""
        searched = [reply.searched for reply in gathered.replies]
        last = stores.last_seen
        if isinstance(last, Seen) and last.still(searched):
            return last.coverage
        self._seen |= gathered.views
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
            stores.last_seen = Seen(searched, coverage)
        return coverage

    def _last_rows(self, store: StoreConfig) -> int | None:
        """Rows of the store at the latest version that a replica announced or a search found."""
        known = [beat.stores[store.store] for beat in self._replicas_of(store) if store.store in beat.stores]
        known += [self._seen[store.store]] if store.store in self._seen else []
        return max(known, key=lambda view: view.version).rows if known else None


def _causes(store: StoreConfig, gathered: Gathered) -> tuple[Cause, ...]:
    """What went wrong at the shards that should have answered for the store; the one it belongs to last."""
    return tuple(cause for shard in reversed(store.served_by) for cause in gathered.causes[shard])


def merge(ranked: Iterable[Sequence[Candidate]], top_k: int) -> tuple[Candidate, ...]:
    """The best `top_k` of several ranked lists, one per (store, face_id), ordered (-score, store, face_id)."""
    best: dict[tuple[str, str], Candidate] = {}
    for candidates in ranked:
        for candidate in candidates:
            key = (candidate.store, candidate.face_id)
            if key not in best or best[key].score < candidate.score:
                best[key] = candidate
    return tuple(heapq.nsmallest(top_k, best.values(), key=lambda c: (-c.score, c.store, c.face_id)))
