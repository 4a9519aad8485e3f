"""Returning visitors are recognised ever better: a visit may add its probe to the face's templates.

A wrong template would spoil a face for good, so it joins only where nothing speaks against it: every store was
searched, the face is the best by far, the probe agrees with the face's mean well beyond the threshold, and it shows
the face differently enough to be worth a template. Once a visit, up to ADAPTED_TEMPLATES; templates that people
enrolled are never pushed out. If somebody else writes the face meanwhile, this template is simply not added.

It is done behind the sighting's back, which is counted and answered by then: a gateway that dies loses a template, not
a visit. The visits that begin while others are looked at are looked at together: one reading of the faces, one search
of the group, and commits that leave in one write.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from common.cluster_map import StoreConfig
from common.errors import FacegridError
from common.ledger import Ledger, Put, StoredFace
from common.records import pack_vectors, standing_of, unpack_vectors
from common.together import Together
from common.types import Candidate, Scope, Vectors, Verdict
from common.vectors import mean_row
from gateway.deadline import Deadline
from gateway.identify import Asking, Identifier
from gateway.verdict import Asked, Identified

ADAPTED_TEMPLATES = 6
"""a face with so many gets no more by itself; the mean hardly moves any more"""
COMFORT = 0.005
"""how far above the threshold of the whole group the score must be (at dlib's slope: a third of the FMR, or less)"""
LEAD = 0.015
"""how far the next other person must be behind"""
ALIKE = 0.985
"""a probe that is as near as that to a template, or to the mean, adds nothing"""

TOP_K = 3
"""candidates that a search for a sighting asks for, at least"""
MOST = 64
"""visits that are looked at together"""
MOST_WAITING = 1000
"""visits; where more begin at once, their templates wait for another visit"""
AS_MATCHED = 1e-4
"""what a score may differ from the one that matched, for float32's sake: beyond it the face is another by now"""
PATIENCE_S = 0.25
"""a turn that takes longer waits for a shard; those behind it need not"""
LIMIT_S = 5.0
"""for the search of the group"""


@dataclass(frozen=True, slots=True)
class At:
    store: StoreConfig
    """where the person was seen"""
    home: StoreConfig
    """the store of the face"""
    photos: int = 1
    """behind the probe"""


@dataclass(frozen=True, slots=True, eq=False)
class Offer:
    """The probe (d,) of a visit, which matched a face in the search `found`."""

    at: At
    probe: Vectors
    matched: Candidate
    found: Identified

    @property
    def face(self) -> tuple[str, str]:
        return self.at.home.store, self.matched.face_id

    @property
    def cut_depends_on(self) -> Hashable:
        """All but the number of rows."""
        seen = self.at.store
        return seen.group, seen.space, seen.target_fpir, seen.threshold


class Adapter:
    def __init__(self, identifier: Identifier, ledger: Ledger) -> None:
        self._identifier = identifier
        self._ledger = ledger
        self._together = Together[Offer, bool](self._consider, MOST, PATIENCE_S)
        self._under_way: set[asyncio.Task[bool]] = set()
        self._cuts: dict[Hashable, float] = {}
        """the least threshold when a group was last searched here; a score below it need not be looked at further"""

    def offer(self, offer: Offer) -> None:
        """Have the probe added to the face soon, if it is worth it. Whether it was is not said."""
        least = self._cuts.get(offer.cut_depends_on, -1.0) + COMFORT
        if least <= offer.matched.score < ALIKE and len(self._under_way) < MOST_WAITING:
            task = asyncio.create_task(self._together.ask(offer))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def settled(self) -> None:
        """Return when all that was offered until now has been looked at."""
        if self._under_way:
            await asyncio.wait(self._under_way)

    async def _consider(self, offers: Sequence[Offer]) -> list[bool]:
        """Whether each was added."""
        try:
            faces = await self._ledger.faces([offer.face for offer in offers])
            useful = {
                offer: face
                for offer, face in zip(offers, faces, strict=True)
                if face is not None and is_the_same(face, offer) and is_useful(face, offer.probe)
            }
            found = await self._everywhere(list(useful))
        except FacegridError:  # the sightings themselves are counted already
            return [False] * len(offers)
        except (KeyError, TypeError, ValueError):  # a record that cannot be read must not take the others with it
            return [added for one in offers for added in await self._consider([one])] if len(offers) > 1 else [False]
        worth = [offer for offer, result in found.items() if is_comfortable(result, offer.matched)]
        added = await asyncio.gather(*(self._add(offer, useful[offer]) for offer in worth))
        outcomes = dict(zip(worth, added, strict=True))
        return [outcomes.get(offer, False) for offer in offers]

    async def _everywhere(self, offers: Sequence[Offer]) -> dict[Offer, Identified]:
        """What the search of the whole group says; where only the store itself was asked so far, that is done now."""
        found = {offer: offer.found for offer in offers if offer.found.mode != "home"}
        asking: defaultdict[int, defaultdict[tuple[str, str], list[Offer]]] = defaultdict(lambda: defaultdict(list))
        for offer in offers:
            if offer not in found:
                asking[offer.at.photos][offer.at.store.store, offer.at.store.space].append(offer)
        for photos, by_store in asking.items():
            found |= await self._searched([*by_store.values()], photos)
        for offer, result in found.items():
            self._cuts[offer.cut_depends_on] = result.cut.least
        return found

    async def _searched(self, by_store: Sequence[Sequence[Offer]], photos: int) -> dict[Offer, Identified]:
        asked = Asked(top_k=TOP_K, scope=Scope.GROUP, photos=photos, with_margin=False)
        askings = [Asking(offers[0].at.store, np.stack([offer.probe for offer in offers])) for offers in by_store]
        results, _ = await self._identifier.identify_each(askings, asked, Deadline(LIMIT_S))
        return dict(zip(chain.from_iterable(by_store), chain.from_iterable(results), strict=True))

    async def _add(self, offer: Offer, present: StoredFace) -> bool:
        home = offer.at.home
        try:
            put = _with(present, offer.matched.face_id, offer.probe, offer.at.photos)
            await self._ledger.commit(home.store, home.incarnation, puts=[put])
        except FacegridError:  # somebody else was faster
            return False
        return True


def is_the_same(present: StoredFace, offer: Offer) -> bool:
    """Whether the face is still the one that matched: by now it may be somebody else's, or be without the template
    that the probe is like."""
    record = present.record
    if record.space != offer.at.home.space or record.row.shape != offer.probe.shape:
        return False
    return abs(float(record.row @ offer.probe) - offer.matched.score) <= AS_MATCHED


def is_comfortable(result: Identified, matched: Candidate) -> bool:
    """Whether the whole group was searched and the matched face is the best by far, well above the threshold."""
    if result.verdict is not Verdict.MATCH or not result.coverage.full:
        return False
    best = result.candidates[0]
    if (best.store, best.face_id) != (matched.store, matched.face_id) or result.cut.excess(best) < COMFORT:
        return False
    return result.lead >= LEAD


def is_useful(present: StoredFace, probe: Vectors) -> bool:
    """Whether the face has templates and room, and none of them shows it like this already."""
    record = present.record
    if not 0 < record.templates < ADAPTED_TEMPLATES:
        return False
    templates = unpack_vectors(present.templates, len(record.row))
    return bool((templates @ probe).max() < ALIKE)


def _with(present: StoredFace, face_id: str, probe: Vectors, photos: int) -> Put:
    record = present.record
    templates = np.concatenate([unpack_vectors(present.templates, len(record.row)), probe[None]])
    grown = replace(
        record,
        row=mean_row(templates),
        templates=len(templates),
        photos=record.photos_behind + photos,
        updated=time.time(),
    )
    return Put(
        face_id, grown.pack(), pack_vectors(templates), replaces=present.raw, standing=standing_of(grown), seen_ms=0
    )
