"""Receipts for erased faces: which replicas have dropped the row, and which have not said so yet.

A face is erased once Redis has it on disk that it is: no search that starts from Redis can find it again. What is left
is the memory of the replicas. One confirms by serving the store at the version of the erasure, or a later one; every
live replica counts that shall serve the store or still does (during a move, both shards').

A replica that is not alive has nothing to confirm: it keeps no files, so a process that ended forgot the face, and one
that comes back loads its stores from Redis. One that was only stopped or cut off, and silent for so long that it is no
longer listed, searches nothing before it has caught up with Redis (`shard/heartbeat`).

A store that changes its embedding space counts its versions on, and so does its receipt: the erased face is not among
what it changes to.

A receipt is not stored anywhere. Its id says which store, which creation of it and which version, and nothing of the
face, since URLs end up in logs. The answer is computed anew whenever it is asked for. What that cannot notice is a
Redis that was restored from a time before the erasure and written to until it passed that version; as long as it is
behind, the receipt is unknown, and the face has to be erased again.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from dataclasses import dataclass

from common.cluster_map import Heartbeat, StoreConfig
from common.errors import TruthUnavailable, UnknownErasure
from common.incarnations import creation
from common.ledger import Ledger
from common.limits import NAME
from common.types import Wait
from gateway.deadline import Deadline
from gateway.replica_set import ReplicaSet
from gateway.view import ClusterView

ASK_S = 0.2
"""how long a replica may take to say how far it is, where its last heartbeat was too old to tell"""
MAX_ID = 200


@dataclass(frozen=True, slots=True)
class Erasure:
    """What a receipt is about: the store was without the face from `version` on."""

    store: str
    incarnation: str
    version: int

    @property
    def id(self) -> str:
        text = f"{self.store}:{self.incarnation}:{self.version}"
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def from_id(cls, text: str) -> Erasure:
        """Raises UnknownErasure for an id that was never given out."""
        unknown = UnknownErasure("No erasure has this id.", field="erasure_id")
        try:
            padded = text[:MAX_ID] + "=" * (-len(text) % 4)
            store, incarnation, version = base64.urlsafe_b64decode(padded.encode("ascii")).decode("ascii").split(":")
            read = cls(store, incarnation, int(version))
        except ValueError:
            raise unknown from None
        if read.id != text or NAME.fullmatch(store) is None or not incarnation.isalnum() or read.version < 1:
            raise unknown
        return read


@dataclass(frozen=True, slots=True)
class Receipt:
    """How far an erasure has come. `complete`: every live replica has confirmed, and the list of them is fresh;
    `visible`: those have that serve the store to searches (one that still loads it may be pending for minutes)."""

    erasure: Erasure
    complete: bool
    visible: bool
    confirmed: list[str]
    """replicas, as "s1/a" """
    pending: list[str]


class Erasures:
    def __init__(self, view: ClusterView, ledger: Ledger, replica_set: ReplicaSet) -> None:
        self._view = view
        self._ledger = ledger
        self._replica_set = replica_set

    async def receipt(self, store: StoreConfig, version: int, wait: Wait, deadline: Deadline) -> Receipt:
        """After the erasure at `version`: wait for the replicas, or only look what their heartbeats say.

        Never raises: the face is erased. If Redis goes away right then, the receipt is not complete.
        """
        listed = False
        with contextlib.suppress(TruthUnavailable):
            await self._view.refresh()
            listed = True
        erasure = Erasure(store.store, store.incarnation, version)
        store = self._view.stores.get(store.store, store)  # it may move since a moment ago
        match wait:
            case Wait.COMMITTED:
                return self._receipt(erasure, store, set(), listed)
            case Wait.VISIBLE:
                return self._receipt(erasure, store, await self._ask(erasure, store, deadline), listed)

    async def look(self, erasure_id: str) -> Receipt:
        """Raises UnknownErasure, TruthUnavailable."""
        erasure = Erasure.from_id(erasure_id)
        await self._view.refresh()
        store = self._view.stores.get(erasure.store)
        if store is None or creation(store.incarnation) != creation(erasure.incarnation):
            return Receipt(erasure, True, True, [], [])  # the store was deleted, with all its faces
        if await self._ledger.version(store.store) < erasure.version:
            raise UnknownErasure("The store is not at this version (any more).", field="erasure_id")
        return self._receipt(erasure, store, await self._ask(erasure, store, Deadline(ASK_S)), listed=True)

    def _receipt(self, erasure: Erasure, store: StoreConfig, said_so: set[str], listed: bool) -> Receipt:
        beats = self._holders(store)
        pending = [beat for beat in beats if beat.boot not in said_so and not _confirms(beat, erasure)]
        return Receipt(
            erasure,
            complete=listed and not pending,
            visible=listed and not any(erasure.store in beat.stores for beat in pending),
            confirmed=sorted(_name(beat) for beat in beats if beat not in pending),
            pending=sorted(_name(beat) for beat in pending),
        )

    def _holders(self, store: StoreConfig) -> list[Heartbeat]:
        """Every live replica that may have rows of the store in memory."""
        return [
            beat
            for shard, beats in self._view.shards.items()
            for beat in beats
            if shard in store.served_by or store.store in beat.stores
        ]

    async def _ask(self, erasure: Erasure, store: StoreConfig, deadline: Deadline) -> set[str]:
        """The boots of those replicas that say themselves that they are at the version before the deadline. One that
        still loads the store is asked only if there is no other."""
        holders = self._holders(store)
        serving = [beat for beat in holders if store.store in beat.stores] or holders
        beats = [beat for beat in serving if not _confirms(beat, erasure)]
        reached = await asyncio.gather(
            *(self._replica_set.has_version(beat, store, erasure.version, deadline) for beat in beats)
        )
        return {beat.boot for beat, there in zip(beats, reached, strict=True) if there}


def _confirms(beat: Heartbeat, erasure: Erasure) -> bool:
    served = beat.stores.get(erasure.store)
    return served is not None and served.version >= erasure.version


def _name(beat: Heartbeat) -> str:
    return f"{beat.shard}/{beat.replica}"
