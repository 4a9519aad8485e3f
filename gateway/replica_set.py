"""The replicas of the shards as the read path sees them: asks the right one, and what it lacks, its siblings.

It owns what calls told about each replica (by URL) and each shard's pace. `hedging` says in what order to ask and when
a second one is asked too, `race` does it. A replica that does not serve a store yet is followed by its siblings for
what is still missing. Every cause stays in the result.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from common.cluster_map import Heartbeat, StoreConfig
from common.errors import ShardFault, ShardUnreachable
from common.types import StoreView, Vectors
from common.wire import AwaitCall, Query, QueryReply, SearchCall
from gateway.deadline import Deadline
from gateway.hedging import Health, Pace, in_order
from gateway.race import Race
from gateway.shard_client import ShardClient

DOUBTED_WAIT_S = 0.1
"""how long a write waits for a replica in doubt: one that hangs must not make every enrolment slow"""
FORGET_ABOVE = 10_000
"""replicas remembered; more are surely long gone (a shard takes a new port at every start)"""


@dataclass(frozen=True, slots=True)
class Question:
    """What to ask of a set of stores."""

    space: str
    probes: Vectors
    """(n, d) unit length"""
    top_k: int
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a call to a replica came to nothing."""

    replica: str | None
    """None: there was none to call"""
    code: str


@dataclass(slots=True)
class ShardAnswer:
    """What one shard said, from as many replicas as it took, and why the rest of it is missing."""

    replies: list[QueryReply] = field(default_factory=list)
    searched: dict[str, StoreView] = field(default_factory=dict)
    causes: list[Cause] = field(default_factory=list)

    def take(self, reply: QueryReply) -> None:
        self.replies.append(reply)
        self.searched |= reply.searched


class ReplicaSet:
    def __init__(self, client: ShardClient, call_timeout_s: float) -> None:
        self._client = client
        self._call_timeout_s = call_timeout_s
        self._known: dict[str, Health] = {}
        self._paces: defaultdict[str, Pace] = defaultdict(Pace)

    async def search(
        self, beats: Sequence[Heartbeat], stores: Mapping[str, str], question: Question, deadline: Deadline
    ) -> ShardAnswer:
        """Ask until every store has answered; never raises a ShardFault, it reports them.

        `beats`: replicas of one shard. `stores`: store → incarnation.
        """
        if not beats:
            return ShardAnswer(causes=[Cause(None, ShardUnreachable.code)])
        answer, pace = ShardAnswer(), self._paces[beats[0].shard]
        missing, left = dict(stores), list(beats)
        while missing and left:
            left = in_order(left, self._health, time.monotonic(), pace.can_hedge)
            query = Query(missing, question.probes, question.top_k, question.exact)
            race = Race(left, partial(self._ask, question.space, query, deadline), pace, self._health)
            reply = await race.run()
            answer.causes += [Cause(beat.replica, fault.code) for beat, fault in race.faults]
            if reply is None:
                break
            answer.take(reply)
            missing = {store: incarnation for store, incarnation in missing.items() if store not in reply.searched}
        return answer

    async def _ask(self, space: str, query: Query, deadline: Deadline, beat: Heartbeat) -> QueryReply:
        call = SearchCall(space, (query,), _milliseconds(min(self._call_timeout_s, deadline.remaining_s())))
        (reply,) = await self._client.search(beat.url, call)
        return reply

    async def has_version(self, beat: Heartbeat, store: StoreConfig, version: int, deadline: Deadline) -> bool:
        """Whether the replica serves `version` of the store before the deadline; a failed call is a no."""
        in_doubt = self._health(beat.url).doubted_at is not None
        longest_s = DOUBTED_WAIT_S if in_doubt else self._call_timeout_s
        reached = await self._version(beat, store, version, min(longest_s, deadline.remaining_s()))
        return reached is not None and reached >= version

    async def first_with(
        self, beats: Sequence[Heartbeat], store: StoreConfig, version: int, wait_s: float
    ) -> Heartbeat | None:
        """The first replica to serve `version` of the store, all asked at once; None if none does within `wait_s`."""

        async def confirmed(beat: Heartbeat) -> Heartbeat | None:
            reached = await self._version(beat, store, version, wait_s)
            return beat if reached is not None and reached >= version else None

        asked = [asyncio.create_task(confirmed(beat)) for beat in beats]
        try:
            async with asyncio.timeout(wait_s):  # on top of the replica's own: one that hangs has no say in it
                for answered in asyncio.as_completed(asked):
                    if (beat := await answered) is not None:
                        return beat
        except TimeoutError:
            pass
        finally:
            for task in asked:
                task.cancel()
        return None

    async def _version(self, beat: Heartbeat, store: StoreConfig, version: int, wait_s: float) -> int | None:
        """The version that the replica has once it is `version` or `wait_s` is over; None: the call failed."""
        call = AwaitCall(store.store, store.incarnation, version, _milliseconds(wait_s))
        known = self._health(beat.url)
        try:
            reached = await self._client.await_version(beat.url, call)
        except ShardFault:
            known.failed(time.monotonic())
            return None
        known.doubted_at = None
        return reached

    def _health(self, url: str) -> Health:
        if url not in self._known:
            if len(self._known) >= FORGET_ABOVE:
                self._known = {known: health for known, health in self._known.items() if health.in_flight}
            self._known[url] = Health()
        return self._known[url]


def _milliseconds(seconds: float) -> int:
    return max(1, int(1000 * seconds))
