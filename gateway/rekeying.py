"""What follows when a face is gone: nothing in Redis names it any more, and its visits stay counted.

The commit that erased it, or merged it into another, left a job (`common.rekeys`). Doing it, here:

    at its home and at every place it was seen at   visits go to the other name, joined by the same rule
    there too; merged: a while later                events and announcements that name it are forgotten
    erased: at the stores of its group              sightings that wait and may be of it are counted under that name,
                                                    their probes dropped
    at every store                                  other sightings that wait and name it, name the other one, or nobody
    bound                                           the member's list forgets it

An erased face's other name leads to nobody; a merged one's is the person it became, or, where that is gone too, what
*that* became. Every step may be repeated. Whoever erases does the job at once. It stays for a while then: a sighting
that had found the face a moment before may reach another store's visits later, so the leader sweeps once more before it
forgets the job; and it does those that a gateway left when it died.

Events and waiting sightings are `unnaming`'s. A waiting probe is told by the erased face's row, which only the eraser
has, in memory: keeping it for a crash would be keeping what was to be erased. After a crash, probes that never had been
taken for this face wait on until they are searched again, and then, like any stranger, become a new face.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from common.errors import FacegridError, TruthUnavailable
from common.incarnations import anonymous
from common.ledger import Ledger
from common.rekeys import Job, Rekeys
from common.visits import Visits, home_of
from gateway.deadline import Deadline
from gateway.members import Members
from gateway.unnaming import Batch, Known, Unnaming
from gateway.view import ClusterView

LATE_S = 60.0
"""a sighting that had found the face has landed, or failed, so long after"""
AT_ONCE_S = 2.0
"""how long an eraser does its job itself, before it leaves the rest to the leader"""
LONGEST_CHAIN = 16
"""of faces merged into one another"""

log = logging.getLogger("facegrid.rekeying")


@dataclass(frozen=True, slots=True)
class Truths:
    """Those who know what Redis keeps of a face."""

    ledger: Ledger
    rekeys: Rekeys
    visits: Visits
    unnaming: Unnaming
    members: Members


class Rekeying:
    def __init__(self, view: ClusterView, truths: Truths, late_s: float = LATE_S) -> None:
        self._view = view
        self._truths = truths
        self._late_ms = late_s * 1000

    async def known(self, store: str, face_ids: Sequence[str]) -> dict[str, Known]:
        """Look before erasing; without those that are not there."""
        records = await self._truths.ledger.records(store, face_ids)
        found = zip(face_ids, records, strict=True)
        return {at: Known.of(record) for at, record in found if record is not None}

    async def at_once(self, store: str, known: Mapping[str, Known | None], deadline: Deadline) -> None:
        """After the commit: do the jobs of those faces as far as the time goes. Never raises: they are gone, and the
        leader does the rest."""
        try:
            async with asyncio.timeout(min(AT_ONCE_S, deadline.remaining_s())):
                await self.follow_up(store, known)
        except (FacegridError, TimeoutError) as error:
            log.warning("What is kept of erased faces is left to the leader: %s", type(error).__name__)

    async def follow_up(self, store: str, known: Mapping[str, Known | None]) -> None:
        """Do the jobs of those of the faces that are gone. One that was done once is the leader's, but for who knows
        the face: it may exist anew. Raises TruthUnavailable, PendingFull; repeating it goes on."""
        if known:
            jobs = await self._truths.rekeys.jobs_of(store, list(known))
            await self.finish(store, [job for job in jobs if not job.swept or known[job.face_id] is not None], known)

    async def follow_up_all(self, store: str) -> None:
        """Do the jobs of the store that were not done once. Raises as `follow_up` does."""
        async for jobs in self._truths.rekeys.jobs(store):
            await self.finish(store, [job for job in jobs if not job.swept], {})

    async def turn(self) -> None:
        """The leader's: do what was left, sweep what was done a while ago. Raises TruthUnavailable."""
        for store in await self._truths.rekeys.with_jobs(list(self._view.stores)):
            async for jobs in self._truths.rekeys.jobs(store):
                due = [job for job in jobs if await self._is_due(job)]
                try:
                    await self.finish(store, due, {})
                except TruthUnavailable:
                    raise
                except FacegridError as error:  # no reason to keep other stores waiting
                    log.warning("What is kept of faces that are gone waits for the next turn: %s", error.code)

    async def _is_due(self, job: Job) -> bool:
        # Created anew under its id, which a job not done once would have kept from it: what it leaves now is its own.
        if job.swept and await self._is_there(job.person):
            await self._truths.rekeys.done(job)
            return False
        return not job.swept or self._is_late(job)

    async def finish(self, store: str, jobs: Sequence[Job], known: Mapping[str, Known | None]) -> None:
        """Do these jobs of one home store, then mark them done or, late enough, forget them.

        Raises TruthUnavailable, PendingFull."""
        home = self._view.stores.get(store)
        late = {job.face_id for job in jobs if self._is_late(job)}
        moved = [] if home is None else [one for job in jobs if (one := await self._moved(job, known)) is not None]
        if home is None or not moved:
            return
        await self._truths.unnaming.clear(Batch(home, moved, known, late))
        for job in moved:
            if job.face_id in late:
                await self._truths.rekeys.done(job)
            elif not job.swept:
                await self._truths.rekeys.change(job, replace(job, swept=True))

    async def _moved(self, job: Job, known: Mapping[str, Known | None]) -> Job | None:
        """The job, once the visits are under the other name and the member's list has forgotten the face; None if it is
        somebody else's, or has to wait."""
        aimed = await self._aimed(job)
        if aimed is None:
            return None
        for store in (aimed.store, *aimed.places):
            if store in self._view.stores:
                await self._truths.visits.rekey(self._view.stores[store], aimed.person, aimed.to)
        eraser = known.get(aimed.face_id)
        try:
            for member_id in {aimed.member_id, None if eraser is None else eraser.member_id}:
                if member_id is not None:
                    await self._truths.members.forget_face(member_id, aimed.store, aimed.face_id)
        except TruthUnavailable:
            raise
        except FacegridError as error:  # others keep writing the same; no reason to keep the rest waiting
            log.warning("What is kept of a face that is gone waits for the next turn: %s", error.code)
            return None
        return aimed

    def _is_late(self, job: Job) -> bool:
        return time.time() * 1000 - job.at_ms >= self._late_ms

    async def _aimed(self, job: Job) -> Job | None:
        """The job with a name to go to that leads to a face that is there, and knows where it was, or to nobody; None
        if somebody else has finished it."""
        while True:
            to = await self._target(job)
            if to == job.to:
                if job.erases or await self._carried(job):
                    return job
                continue  # it went at this moment
            changed = await self._truths.rekeys.change(job, replace(job, to=to))
            job_now = changed or await self._truths.rekeys.job(job.store, job.face_id)
            if job_now is None or job_now.at_ms != job.at_ms:
                return None
            job = job_now

    async def _carried(self, job: Job) -> bool:
        """Whether the face that this one became is known to have been where this one was, for its own erasure."""
        found = home_of(job.to)
        home = None if found is None else self._view.stores.get(found[0])
        if found is None or home is None:
            return False
        return await self._truths.rekeys.carry(home, found[2], (job.store, *job.places), None)

    async def _target(self, job: Job) -> str:
        """Under which name to keep the visits, now."""
        to = job.to
        for _ in range(LONGEST_CHAIN):
            found = home_of(to)
            if found is None or await self._is_there(to):
                return to
            store, _, face_id = found
            following = await self._truths.rekeys.job(store, face_id)
            if following is None or following.person != to:
                break
            to = following.to
        return anonymous().replace("~v", f"~{job.standing[0]}", 1)

    async def _is_there(self, person: str) -> bool:
        found = home_of(person)
        store = None if found is None else self._view.stores.get(found[0])
        if found is None or store is None or not store.incarnation.startswith(found[1]):
            return False
        (record,) = await self._truths.ledger.records(store.store, [found[2]])
        return record is not None
