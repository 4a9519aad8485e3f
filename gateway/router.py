"""From stores to shards and back: asks every shard concerned at once and merges what they say.

It never raises because a shard failed: it reports what was searched and what was not, and the caller draws the
verdict. Sharded answers equal unsharded ones: each shard gives its top k, ordered (-score, store, face_id), and the
merge keeps that order.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from common.cluster_map import StoreConfig
from common.types import Candidate, ReplicaState
from gateway.deadline import Deadline
from gateway.replica_set import Question, ReplicaSet, ShardAnswer
from gateway.view import ClusterView


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which stores, rows and shards a search really looked at."""

    stores: frozenset[str]
    searched: dict[str, int]
    """store → version at which it was searched"""
    rows: int
    shards: frozenset[str]
    failed: dict[str, str]
    """shard → code of the last thing that went wrong there"""

    @property
    def full(self) -> bool:
        return self.searched.keys() == self.stores

    @property
    def missing(self) -> list[str]:
        return sorted(self.stores - self.searched.keys())

    def __or__(self, other: Coverage) -> Coverage:
        """Both searches together; their stores must not overlap, or rows would be counted twice."""
        return Coverage(
            self.stores | other.stores,
            self.searched | other.searched,
            self.rows + other.rows,
            self.shards | other.shards,
            self.failed | other.failed,
        )


@dataclass(frozen=True, slots=True)
class Found:
    candidates: tuple[tuple[Candidate, ...], ...]
    """per probe, best first"""
    coverage: Coverage


class Router:
    def __init__(self, view: ClusterView, replica_set: ReplicaSet) -> None:
        self._view = view
        self._replica_set = replica_set

    async def search(self, stores: Sequence[StoreConfig], question: Question, deadline: Deadline) -> Found:
        by_shard: dict[str, dict[str, str]] = defaultdict(dict)
        for config in stores:
            by_shard[config.shard][config.store] = config.incarnation
        answers = await asyncio.gather(
            *(
                self._replica_set.search(self._view.shards.get(shard, ()), names, question, deadline)
                for shard, names in by_shard.items()
            )
        )
        replies = [reply for answer in answers for reply in answer.replies]
        candidates = tuple(
            merge((reply.candidates[at] for reply in replies), question.top_k) for at in range(len(question.probes))
        )
        return Found(candidates, _coverage(by_shard, answers))

    async def is_visible(self, store: StoreConfig, version: int, deadline: Deadline) -> bool:
        """Whether every replica of the store's shard that searches are sent to serves `version` before the deadline.

        One that is still loading and does not serve the store yet is asked only if there is no other: it will read the
        write with everything else.
        """
        live = self._view.shards.get(store.shard, ())
        beats = [beat for beat in live if beat.state is ReplicaState.READY or store.store in beat.stores] or live
        reached = await asyncio.gather(
            *(self._replica_set.has_version(beat, store, version, deadline) for beat in beats)
        )
        return bool(reached) and all(reached)


def merge(ranked: Iterable[Sequence[Candidate]], top_k: int) -> tuple[Candidate, ...]:
    """The best `top_k` of several ranked lists, one per (store, face_id), ordered (-score, store, face_id)."""
    best: dict[tuple[str, str], Candidate] = {}
    for candidates in ranked:
        for candidate in candidates:
            key = (candidate.store, candidate.face_id)
            if key not in best or best[key].score < candidate.score:
                best[key] = candidate
    return tuple(heapq.nsmallest(top_k, best.values(), key=lambda c: (-c.score, c.store, c.face_id)))


def _coverage(by_shard: Mapping[str, Mapping[str, str]], answers: Sequence[ShardAnswer]) -> Coverage:
    failed = {}
    for (shard, names), answer in zip(by_shard.items(), answers, strict=True):
        if not answer.searched.keys() >= names.keys():
            failed[shard] = answer.causes[-1].code if answer.causes else "STORE_NOT_SERVED"
    views = {store: view for answer in answers for store, view in answer.searched.items()}
    return Coverage(
        stores=frozenset(name for names in by_shard.values() for name in names),
        searched={store: view.version for store, view in views.items()},
        rows=sum(view.rows for view in views.values()),
        shards=frozenset(by_shard),
        failed=failed,
    )
