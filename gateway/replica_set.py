"""One shard's replicas as the read path sees them: in what order to ask, and whom to ask next.

The order: those that are ready first, then those that failed least recently. A replica that fails, or that does not
serve a store yet, is followed by its sibling for what is still missing; a permanent error stops at once. Every cause
stays in the result.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from common.cluster_map import Heartbeat, StoreConfig
from common.errors import FacegridError, ShardFault, ShardUnreachable
from common.types import ReplicaState, StoreView, Vectors
from common.wire import AwaitCall, Query, QueryReply, SearchCall
from gateway.deadline import Deadline
from gateway.shard_client import ShardClient

SUSPECT_WAIT_S = 0.1
"""how long a write waits for a replica that failed last time: one that hangs must not make every enrolment slow"""
FORGET_S = 600.0
"""failures longer ago are forgotten, lest replicas that are long gone be remembered for ever"""


@dataclass(frozen=True, slots=True)
class Question:
    """What to ask of a set of stores."""

    space: str
    probes: Vectors
    """(n, d) unit length"""
    top_k: int
    exact: bool = False


@dataclass(slots=True)
class ShardAnswer:
    """What one shard said, from as many replicas as it took, and why the rest of it is missing."""

    replies: list[QueryReply] = field(default_factory=list)
    searched: dict[str, StoreView] = field(default_factory=dict)
    causes: list[FacegridError] = field(default_factory=list)


class ReplicaSet:
    """Remembers by URL which replicas failed when last called; holds no other state."""

    def __init__(self, client: ShardClient, call_timeout_s: float) -> None:
        self._client = client
        self._call_timeout_s = call_timeout_s
        self._failed_at: dict[str, float] = {}

    def ordered(self, beats: Sequence[Heartbeat]) -> list[Heartbeat]:
        return sorted(
            beats, key=lambda b: (b.state is not ReplicaState.READY, self._failed_at.get(b.url, 0.0), b.replica)
        )

    async def search(
        self, beats: Sequence[Heartbeat], stores: Mapping[str, str], question: Question, deadline: Deadline
    ) -> ShardAnswer:
        """Ask replica after replica until every store has answered; never raises a ShardFault, it reports them.

        `stores`: store → incarnation.
        """
        answer = ShardAnswer()
        if not beats:
            answer.causes.append(ShardUnreachable("The shard has no live replica."))
        missing = dict(stores)
        for beat in self.ordered(beats):
            query = Query(missing, question.probes, question.top_k, question.exact)
            try:
                (reply,) = await self._client.search(
                    beat.url, SearchCall(question.space, (query,), self._remaining_ms(deadline, self._call_timeout_s))
                )
            except ShardFault as fault:
                self._note_failure(beat.url)
                answer.causes.append(fault)
                if not fault.replica_may_help:
                    break
                continue
            self._failed_at.pop(beat.url, None)
            answer.replies.append(reply)
            answer.searched |= reply.searched
            missing = {store: incarnation for store, incarnation in missing.items() if store not in reply.searched}
            if not missing:
                break
        return answer

    async def has_version(self, beat: Heartbeat, store: StoreConfig, version: int, deadline: Deadline) -> bool:
        """Whether the replica serves `version` of the store before the deadline; a failed call is a no."""
        longest_s = SUSPECT_WAIT_S if beat.url in self._failed_at else self._call_timeout_s
        call = AwaitCall(store.store, store.incarnation, version, self._remaining_ms(deadline, longest_s))
        try:
            reached = await self._client.await_version(beat.url, call)
        except ShardFault:
            self._note_failure(beat.url)
            return False
        self._failed_at.pop(beat.url, None)
        return reached >= version

    def _remaining_ms(self, deadline: Deadline, longest_s: float) -> int:
        return max(1, int(1000 * min(longest_s, deadline.remaining_s())))

    def _note_failure(self, url: str) -> None:
        now = time.monotonic()
        self._failed_at = {known: at for known, at in self._failed_at.items() if now - at < FORGET_S}
        self._failed_at[url] = now
