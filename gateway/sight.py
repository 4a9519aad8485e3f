"""Sightings: who was seen at a store at a time, counted once whatever happens.

                      every store that could know better was searched?
    match     ── yes ─► counted                          no ─► waits, and the checkout is told who it may be
    no_match  (only said then) ─► enrolled as new, counted
    inconclusive                                              ─► waits
    too poor to be told apart ─► rejected, never enrolled

What waits is searched again when coverage is back (`resolver`), with its original time.

One stranger, one face. A stranger is enrolled only at the version of the store that was searched. If somebody wrote
since, the faces written are compared right here instead of searching again: they are few, and a replica may not have
them yet. While sightings wait, later ones go behind them, at the same store all, from elsewhere those that need the
other stores: so everybody is enrolled and counted in the order they came, and an outage does not change who is whose.
The checkout is told at once all the same. What is left are two stores that see one stranger in the
same moment: they make two faces, for commits to two stores are not ordered; `merge` joins them.

A sighting may be repeated, in any order, through any gateway: see `common.intervals`.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, replace
from enum import StrEnum

from common.errors import SightingsWaiting, VersionConflict
from common.ledger import ABSENT, IDLE, Ledger, Put
from common.pending import Pending, Waiting, pack
from common.records import FaceRecord, pack_vectors
from common.rekeys import Rekeys
from common.types import Candidate, Kind, Vectors, Verdict
from common.visits import Recorded, Seen, Visits
from gateway.adapt import Adapter, At, Offer
from gateway.deadline import Deadline
from gateway.identify import Identifier
from gateway.look import Frame, Look, Looker, Sighting
from gateway.router import Router
from gateway.verdict import Identified
from gateway.view import ClusterView

ATTEMPTS = 4
"""searches for one face of which the match was erased, or the feed trimmed, in between; then it waits"""


class Outcome(StrEnum):
    COUNTED = "counted"
    STAFF = "staff"
    PENDING = "pending"


@dataclass(frozen=True, slots=True)
class Kept:
    """Where it all is kept."""

    ledger: Ledger
    visits: Visits
    pending: Pending
    rekeys: Rekeys


@dataclass(frozen=True, slots=True)
class Sighted:
    """What became of one face."""

    outcome: Outcome
    verdict: Verdict
    threshold: float | None = None
    candidate: Candidate | None = None
    """who it is; of a stranger the new face, with no score; of one that waits the best match so far"""
    new: bool = False
    recorded: Recorded | None = None


class Sighter:
    def __init__(self, view: ClusterView, router: Router, identifier: Identifier, kept: Kept) -> None:
        self._view = view
        self._router = router
        self._looker = Looker(identifier)
        self._kept = kept
        self._adapter = Adapter(identifier, kept.ledger)

    async def sight(self, sighting: Sighting, probes: Vectors, deadline: Deadline) -> list[Sighted]:
        """What became of each face of one picture, (n, d) unit probes.

        Raises UnknownStore, PendingFull, TruthUnavailable; faces counted before that stay counted, and repeating the
        sighting counts them once.
        """
        frame = Frame(sighting, deadline, self._view.stores)
        if sighting.waited is not None:
            frame.taken.update(sighting.waited.others)
        looks = await self._looker.first(frame, probes)
        return [await self._settle(frame, probe, look) for probe, look in zip(probes, looks, strict=True)]

    async def settled(self) -> None:
        """Return when every template that sightings brought so far is on disk, or was not worth it."""
        await self._adapter.settled()

    async def _settle(self, frame: Frame, probe: Vectors, look: Look | None) -> Sighted:
        for _ in range(ATTEMPTS):
            if look is None or not look.sure or await self._goes_behind(frame, look):
                break
            frame.deadline.waive()
            try:
                settled = await self._act(frame, probe, look)
            except SightingsWaiting:
                break
            if isinstance(settled, Sighted):
                return settled
            if settled:
                look = frame.take(look.result.at_home, settled)
                continue
            if not frame.deadline.remaining_s():
                break
            look = await self._looker.again(frame, probe)
        return await self._wait(frame, probe, look)

    async def _goes_behind(self, frame: Frame, look: Look) -> bool:
        """Whether earlier sightings that wait may still make this person known. (Those at the store itself are looked
        at by the scripts that count and enrol.)"""
        if look.result.mode == "home" or frame.sighting.waited is not None:
            return False
        return await self._kept.pending.to_wait_for(look.result.coverage.stores.names)

    async def _act(self, frame: Frame, probe: Vectors, look: Look) -> Sighted | dict[str, Candidate]:
        """Count the person, or enrol the stranger; if neither can be, who else it may be, or nobody: look again."""
        if look.candidate is not None:
            return await self._matched(frame, probe, look.result, look.candidate) or {}
        return await self._stranger(frame, probe, look.result) if look.everywhere else {}

    async def _matched(self, frame: Frame, probe: Vectors, result: Identified, candidate: Candidate) -> Sighted | None:
        """Count the person; None if its face is gone meanwhile."""
        staff = candidate.kind is Kind.STAFF
        waited = frame.sighting.waited
        told = waited is not None and waited.announced  # of somebody else, who is taken back
        recorded = await self._record(frame, candidate, "" if staff and not told else "arrival")
        if recorded is None:
            frame.gone.add(frame.face(candidate))
            frame.taken.discard(frame.person(candidate))
            return None
        if recorded.started:
            at = At(frame.sighting.store, frame.stores[candidate.store], frame.sighting.photos)
            self._adapter.offer(Offer(at, probe, candidate, result))
        new = recorded.origin_ms == frame.sighting.at_ms
        outcome = Outcome.STAFF if staff else Outcome.COUNTED
        threshold = result.cut.of(candidate)
        return Sighted(outcome, Verdict.MATCH, threshold, candidate, new, recorded)

    async def _record(self, frame: Frame, candidate: Candidate, event: str) -> Recorded | None:
        sighting, waited = frame.sighting, frame.sighting.waited
        beside = [
            (one.id, pack(replace(one, others=(*one.others, frame.person(candidate))))) for one in sighting.beside
        ]
        return await self._kept.visits.record(
            Seen(
                sighting.store,
                frame.stores[candidate.store],
                candidate.face_id,
                sighting.at_ms,
                event,
                sighting.late,
                "" if waited is None else waited.announced,
                "" if waited is None else waited.id,
                beside,
            )
        )

    async def _stranger(self, frame: Frame, probe: Vectors, result: Identified) -> Sighted | dict[str, Candidate]:
        """Enrol somebody that nobody knows, unless it is one of the faces written since the search: then those.

        Nobody at all: there was no time, or the feed does not go back so far. Raises SightingsWaiting.
        """
        store = frame.sighting.store
        version = result.coverage.searched.get(store.store)
        if version is None:  # it went to another group, or was deleted, in between
            return {}
        cut = result.at_home.cut
        face_id = uuid.uuid4().hex
        while frame.deadline.remaining_s():
            try:
                done = await self._commit(frame, probe, face_id, version)
            except VersionConflict:
                since = await self._kept.ledger.changes_since(store.store, version)
                if since is None or since[0] == version:  # trimmed; or Redis has lost what the replica still has
                    break
                version, written = since
                if known := frame.options(cut.best_first(_scored(store.store, written, probe)), cut):
                    return known
                continue
            await self._router.is_visible(store, done, frame.deadline)
            enrolled = Candidate(store.store, face_id, 1.0)
            recorded = await self._record(frame, enrolled, "new_visitor")
            if recorded is None:  # erased in the same moment
                break
            frame.taken.add(frame.person(enrolled))
            return Sighted(Outcome.COUNTED, Verdict.NO_MATCH, result.threshold, enrolled, True, recorded)
        return {}

    async def _commit(self, frame: Frame, probe: Vectors, face_id: str, version: int) -> int:
        sighting = frame.sighting
        now = time.time()
        record = FaceRecord(probe, sighting.store.space, Kind.VISITOR, now, now, templates=1, photos=sighting.photos)
        put = Put(face_id, record.pack(), pack_vectors(probe), ABSENT, seen_ms=sighting.at_ms)
        done = await self._kept.ledger.commit(
            sighting.store.store,
            sighting.store.incarnation,
            puts=[put],
            expected_version=version,
            waiting=IDLE if sighting.waited is None else sighting.waited.id,
        )
        return done.version

    async def _wait(self, frame: Frame, probe: Vectors, look: Look | None) -> Sighted:
        """Keep the sighting for later. One that waited already is kept as it is."""
        guess = None if look is None else look.candidate
        if frame.sighting.waited is None:
            frame.deadline.waive()
            store = frame.sighting.store
            told = await self._to_tell(frame, guess)
            others = tuple(sorted(frame.taken - {"" if guess is None else frame.person(guess)}))
            sighting = frame.sighting
            waiting = Waiting(probe, sighting.at_ms, told, others, frame.picture, photos=sighting.photos)
            await self._kept.pending.add(store, waiting, tell=True)
        threshold = None if look is None else look.threshold
        verdict = look.result.verdict if look is not None and look.sure else Verdict.INCONCLUSIVE
        return Sighted(Outcome.PENDING, verdict, threshold, guess)

    async def _to_tell(self, frame: Frame, guess: Candidate | None) -> str:
        """The person to tell the checkout of, or ''. The guess's home store notes the place first, so that erasing the
        face finds what was told; one that is erased by then is not told of."""
        sighting = frame.sighting
        if guess is None or guess.kind is Kind.STAFF or sighting.late:
            return ""
        home = frame.stores[guess.store]
        there = await self._kept.rekeys.carry(home, guess.face_id, (sighting.store.store,), None)
        return frame.face(guess) if there else ""


def _scored(store: str, written: dict[str, FaceRecord], probe: Vectors) -> list[Candidate]:
    return [
        Candidate(store, face_id, float(record.row @ probe), record.kind, record.member_id, record.photos_behind)
        for face_id, record in written.items()
        if record.templates and record.row.shape == probe.shape  # not left behind, nor of another space by now
    ]
