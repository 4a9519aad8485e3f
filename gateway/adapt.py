"""Returning visitors are recognised ever better: a visit may add its probe to the face's templates.

A wrong template would spoil a face for good, so it joins only where nothing speaks against it: every store was
searched, the face is the best by far, the probe agrees with the face's mean well beyond the threshold, and it shows
the face differently enough to be worth a template. Once a visit, up to ADAPTED_TEMPLATES; templates that people
enrolled are never pushed out. If somebody else writes the face meanwhile, this template is simply not added.
"""

from __future__ import annotations

import time
from collections.abc import Hashable
from dataclasses import dataclass, replace

import numpy as np

from common.cluster_map import StoreConfig
from common.errors import FacegridError
from common.ledger import Ledger, Put, StoredFace
from common.records import pack_vectors, standing_of, unpack_vectors
from common.types import Candidate, Scope, Vectors, Verdict
from common.vectors import mean_row
from gateway.deadline import Deadline
from gateway.identify import Identifier
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


@dataclass(frozen=True, slots=True)
class At:
    store: StoreConfig
    """where the person was seen"""
    home: StoreConfig
    """the store of the face"""
    photos: int = 1
    """behind the probe"""


class Adapter:
    def __init__(self, identifier: Identifier, ledger: Ledger) -> None:
        self._identifier = identifier
        self._ledger = ledger
        self._cuts: dict[Hashable, float] = {}
        """the least threshold when a group was last searched here, by all that it depends on but rows; a score below
        it need not be looked at further"""

    async def adapt(self, at: At, probe: Vectors, matched: Candidate, found: Identified, deadline: Deadline) -> bool:
        """Add the probe (d,) to the face it matched in the search `found`, if it is worth it. Never raises for want of
        coverage: whether it was added is all there is to say."""
        home, seen = at.home, at.store
        depends = seen.group, seen.space, seen.target_fpir, seen.threshold
        if not self._cuts.get(depends, -1.0) + COMFORT <= matched.score < ALIKE:
            return False
        try:
            present = await self._ledger.face(home.store, matched.face_id)
            if present is None or present.record.space != home.space or not is_useful(present, probe):
                return False
            if found.mode == "home":  # nobody else was asked
                asked = Asked(top_k=TOP_K, scope=Scope.GROUP, photos=at.photos, with_margin=False)
                (found,) = (await self._identifier.identify(seen, probe[None], asked, deadline)).results
            self._cuts[depends] = found.cut.least
            if not is_comfortable(found, matched):
                return False
            await self._ledger.commit(
                home.store, home.incarnation, puts=[_with(present, matched.face_id, probe, at.photos)]
            )
        except FacegridError:  # the sighting itself is counted already
            return False
        return True


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
