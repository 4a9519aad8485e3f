"""Nothing that tells of sightings names a face that is gone: events, announcements, and sightings that still wait.

One pass for many faces: a store's events can be found only by reading them all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

import numpy as np

from common.cluster_map import StoreConfig
from common.errors import UnknownStore
from common.events import Events
from common.pending import Pending, Waiting
from common.records import FaceRecord
from common.rekeys import Job, Rekeys
from common.types import Vectors
from common.visits import Visits
from gateway.fmr import FmrCurve
from gateway.spaces import Spaces
from gateway.view import ClusterView

LENIENT_FMR = 1e-2
"""A waiting probe that one in so many strangers is as much alike to any of the faces erased may be of that face: rather
a stranger without a name than that face kept."""


@dataclass(frozen=True, slots=True)
class Known:
    """What an eraser knows of a face that the job must not hold."""

    row: Vectors
    """(d,) unit length"""
    member_id: str | None
    photos: int = 1
    """behind the row"""

    @classmethod
    def of(cls, record: FaceRecord) -> Known:
        return cls(record.row, record.member_id, record.photos_behind)


@dataclass(frozen=True, slots=True)
class Batch:
    """Jobs of one home store, and what is known of their faces by those who erased them."""

    home: StoreConfig
    jobs: Sequence[Job]
    known: Mapping[str, Known | None]
    late: AbstractSet[str]
    """faces that went so long ago that nobody comes back to what was told of them"""

    @property
    def erased(self) -> list[Job]:
        return [job for job in self.jobs if job.erases]

    @property
    def told_no_more(self) -> list[Job]:
        """Merged ones' events go later: somebody may just be judging them. But they do: nobody would find them when the
        face is erased that this one became."""
        return [job for job in self.jobs if job.erases or job.face_id in self.late]

    def announced(self, waiting: Waiting) -> Job | None:
        """The erased face that it was announced as."""
        return next((job for job in self.erased if job.person == waiting.announced), None)

    def most_alike(self, waiting: Waiting, curve: FmrCurve) -> Job | None:
        """The erased face that it may be of."""
        known = ((job, self.known.get(job.face_id)) for job in self.erased if job.person not in waiting.others)
        faces = [(job, one) for job, one in known if one is not None and one.row.shape == waiting.probe.shape]
        if not faces:
            return None
        fmr = LENIENT_FMR / len(faces)
        scores = np.stack([one.row for _, one in faces]) @ waiting.probe
        photos = [one.photos for _, one in faces]
        cuts = {count: curve.score_at(fmr, count, waiting.photos) for count in set(photos)}
        beyond = scores - [cuts[count] for count in photos]
        best = int(beyond.argmax())
        return faces[best][0] if beyond[best] >= 0 else None


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

        Raises TruthUnavailable, SpaceChanging, EncoderMissing (probes wait that have to be compared, and the space is
        not known here); repeating it goes on.
        """
        waiting = await self._waiting()
        await self._forget_events(batch, waiting)
        while not all([await self._unname(batch, store, one) for store, one in waiting]):
            waiting = await self._waiting()

    async def _unname(self, batch: Batch, store: StoreConfig, waiting: Waiting) -> bool:
        """False: somebody else has settled or renamed it meanwhile, and may have left a name in it."""
        try:
            if (job := self._whose(batch, store, waiting)) is not None:
                return await self._visits.record_anonymous(store, job.to, waiting.at_ms, waiting.id)
            new = renamed(waiting, batch.jobs)
            return new == waiting or await self._pending.replace(store, new)
        except UnknownStore:
            return True

    def _whose(self, batch: Batch, store: StoreConfig, waiting: Waiting) -> Job | None:
        """The erased face that it was announced as, or that it may be of."""
        if waiting.announced:  # of somebody else it is a photo that matched: that tells more than being alike
            return batch.announced(waiting)
        home = batch.home
        if (store.group, store.space) != (home.group, home.space) or not any(batch.known.values()):
            return None
        return batch.most_alike(waiting, self._spaces.of_store(home).curve)

    async def _waiting(self) -> list[tuple[StoreConfig, Waiting]]:
        """Every sighting that waits, and where it was; outside of the group, too: a store may be in it only now."""
        may_wait = await self._pending.stores()
        stores = [config for config in self._view.stores.values() if config.store in may_wait]
        counts = await self._pending.counts([config.store for config in stores])
        return [
            (config, one)
            for config in stores
            for one in await self._pending.entries(config.store, max(counts[config.store], 1))
        ]

    async def _forget_events(self, batch: Batch, waiting: Sequence[tuple[StoreConfig, Waiting]]) -> None:
        named: defaultdict[str, set[str]] = defaultdict(set)
        for job in batch.told_no_more:
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
