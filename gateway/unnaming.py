"""Nothing that tells of sightings names a face that is gone: events, announcements, and sightings that still wait.

One pass for many faces: a store's events can be found only by reading them all.
"""

from __future__ import annotations

import contextlib
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from common.cluster_map import StoreConfig
from common.errors import UnknownStore
from common.events import Events
from common.pending import Pending, Waiting
from common.rekeys import Job, Rekeys
from common.types import Vectors
from common.visits import Visits
from gateway.spaces import Spaces
from gateway.view import ClusterView

LENIENT_FMR = 1e-2
"""A waiting probe this much alike may be of an erased face: rather a stranger without a name than that face kept."""


@dataclass(frozen=True, slots=True)
class Known:
    """What an eraser knows of a face that the job must not hold."""

    row: Vectors
    """(d,) unit length"""
    member_id: str | None


@dataclass(frozen=True, slots=True)
class Batch:
    """Jobs of one home store, and what is known of their faces by those who erased them."""

    home: StoreConfig
    jobs: Sequence[Job]
    known: Mapping[str, Known | None]

    @property
    def erased(self) -> list[Job]:
        return [job for job in self.jobs if job.erases]

    def whose(self, waiting: Waiting, alike: float) -> Job | None:
        """The erased face that it was announced as, or else is the most alike, with a score of `alike` or more."""
        for job in self.erased:
            if job.person == waiting.announced:
                return job
        known = ((job, self.known.get(job.face_id)) for job in self.erased)
        rows = [(job, one.row) for job, one in known if one is not None and one.row.shape == waiting.probe.shape]
        if not rows:
            return None
        scores = np.stack([row for _, row in rows]) @ waiting.probe
        best = int(scores.argmax())
        return rows[best][0] if scores[best] >= alike else None


@dataclass(frozen=True, slots=True)
class Traces:
    """Where an erased face may still be named."""

    events: Events
    pending: Pending
    visits: Visits
    rekeys: Rekeys


class Unnaming:
    def __init__(self, view: ClusterView, traces: Traces, spaces: Spaces) -> None:
        self._view = view
        self._events = traces.events
        self._pending = traces.pending
        self._visits = traces.visits
        self._rekeys = traces.rekeys
        self._spaces = spaces

    async def clear(self, batch: Batch) -> None:
        """Events before the sightings that wait: those tell at which other stores a face was announced.

        Raises TruthUnavailable, PendingFull, EncoderMissing (probes wait that have to be compared, and the space is not
        known here); repeating it goes on.
        """
        waiting = await self._waiting(batch.home)
        await self._forget_events(batch, waiting)
        compares = waiting and any(batch.known.values())
        alike = self._spaces.of_store(batch.home).curve.score_at(LENIENT_FMR) if compares else math.inf
        for store, one in waiting:
            if (job := batch.whose(one, alike)) is not None:
                with contextlib.suppress(UnknownStore):
                    await self._visits.record_anonymous(store, job.to, one.at_ms, one.id)
            elif (new := renamed(one, batch.jobs)) != one:
                # Entries of a stream cannot be changed; one that is there twice for a moment counts once.
                with contextlib.suppress(UnknownStore):
                    await self._pending.add(store, new)
                    await self._pending.remove(store.store, one.id)

    async def _waiting(self, home: StoreConfig) -> list[tuple[StoreConfig, Waiting]]:
        """Every sighting of the group that waits, and where it was."""
        may_wait = await self._pending.stores()
        group = {config.store: config for config in self._view.group_of(home).configs if config.store in may_wait}
        counts = await self._pending.counts(list(group)) if group else {}
        return [
            (config, one)
            for store, config in group.items()
            for one in await self._pending.entries(store, max(counts[store], 1))
        ]

    async def _forget_events(self, batch: Batch, waiting: Sequence[tuple[StoreConfig, Waiting]]) -> None:
        named: defaultdict[str, set[str]] = defaultdict(set)
        for job in batch.erased:
            told = [store.store for store, one in waiting if one.announced == job.person]
            for store in {job.store, *job.places, *told} & self._view.stores.keys():
                named[store].add(job.person)
        for store, persons in sorted(named.items()):
            await self._events.forget(store, *persons)
        await self._rekeys.forget_announced(named)


def renamed(waiting: Waiting, jobs: Sequence[Job]) -> Waiting:
    """With the names that merged faces go by now, and without those of erased ones."""
    to = {job.person: None if job.erases else job.to for job in jobs}
    others = {name for other in waiting.others if (name := to.get(other, other)) is not None}
    announced = to.get(waiting.announced, waiting.announced) or ""
    if announced == waiting.announced and others == set(waiting.others):
        return waiting
    return replace(waiting, announced=announced, others=tuple(sorted(others)))
