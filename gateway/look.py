"""Who is on a picture: searches for sightings, which keep the faces of one picture apart and never take the word of a
search that did not look everywhere it should.

A match at home is final, as nobody else is asked. One found by the fan-out is final only if every store was searched:
the one that is missing may know the person better, and counting the wrong one could not be undone.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from common.cluster_map import StoreConfig
from common.errors import NothingSearched
from common.limits import MAX_TOP_K
from common.pending import Waiting
from common.types import Candidate, Scope, Vectors, Verdict
from common.visits import person_of, window_ms
from gateway.assignment import assign
from gateway.cut import Cut
from gateway.deadline import Deadline
from gateway.identify import Identifier
from gateway.verdict import Asked, Identified

SPARE = 2
"""candidates beyond the number of faces in the picture"""


class Sighting(NamedTuple):
    """What is known of a sighting before the search."""

    store: StoreConfig
    at_ms: int
    photos: int = 1
    """behind each probe"""
    waited: Waiting | None = None
    """as it was kept, for one that waited until now"""
    beside: Sequence[Waiting] = ()
    """those of its picture that wait still: other persons"""

    @property
    def late(self) -> bool:
        return 1000 * time.time() - self.at_ms > window_ms(self.store)


class Look(NamedTuple):
    """What a search says of one face: `candidate` is who it is, None if there is nobody that it may be."""

    result: Identified
    candidate: Candidate | None
    cut_off: bool = False
    """everybody that the search named is taken, and it might have named more"""

    @property
    def threshold(self) -> float:
        """What the candidate had to reach; where there is none, what the best that the search named has to."""
        return self.result.threshold if self.candidate is None else self.result.cut.of(self.candidate)

    @property
    def sure(self) -> bool:
        """Whether nothing that was not searched could change it. A match at home is final: nobody else is asked."""
        match self.result.verdict:
            case Verdict.MATCH:
                return self.result.mode == "home" or self.result.coverage.full
            case Verdict.NO_MATCH:
                return True
            case Verdict.INCONCLUSIVE:
                return False

    @property
    def everywhere(self) -> bool:
        """Whether nobody to be is nobody anywhere: at home, matches end the search."""
        if self.cut_off:
            return False
        return self.result.verdict is Verdict.NO_MATCH or (self.result.mode == "fan_out" and self.result.coverage.full)


@dataclass(slots=True)
class Frame:
    """One picture, and the persons that its faces turned out to be: nobody is in it twice."""

    sighting: Sighting
    deadline: Deadline
    stores: Mapping[str, StoreConfig]
    """the map as it was when the sighting came; a candidate of another store is passed over"""
    taken: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    """faces erased while this went on; a replica may still find them"""
    _picture: str = ""

    @property
    def picture(self) -> str:
        """A name for it, made up when it is first asked for: few sightings wait."""
        self._picture = self._picture or secrets.token_hex(8)
        return self._picture

    def face(self, candidate: Candidate) -> str:
        return person_of(self.stores[candidate.store], candidate.face_id)

    def person(self, candidate: Candidate) -> str:
        """Two faces of one member are one person."""
        return self.face(candidate) if candidate.member_id is None else f"member:{candidate.member_id}"

    def options(self, candidates: Sequence[Candidate], cut: Cut) -> dict[str, Candidate]:
        """The persons that a face may be, the best first, each with the best of their faces; so are `candidates`."""
        options: dict[str, Candidate] = {}
        for candidate in candidates:
            if cut.excess(candidate) < 0 or candidate.store not in self.stores:
                continue
            person = self.person(candidate)
            if person not in self.taken and self.face(candidate) not in self.gone:
                options.setdefault(person, candidate)
        return options

    def take(self, result: Identified, options: Mapping[str, Candidate], top_k: int = MAX_TOP_K) -> Look:
        """The face is the best of them, and nobody else in the picture is that person."""
        person = next(iter(options), None)
        if person is None:
            named = result.candidates
            return Look(result, None, len(named) >= top_k and result.cut.excess(named[-1]) >= 0)
        self.taken.add(person)
        return Look(result, options[person])


class Looker:
    def __init__(self, identifier: Identifier) -> None:
        self._identifier = identifier

    async def first(self, frame: Frame, probes: Vectors) -> list[Look | None]:
        """Home, then everywhere; the faces take persons so that the sum of what they are above their thresholds is
        highest. None: no shard answered."""
        asked = self._asked(frame, len(probes) + SPARE)
        results = await self._search(frame, probes, asked)
        options = [{} if one is None else frame.options(one.candidates, one.cut) for one in results]
        chosen = assign(
            [
                {} if one is None else {person: one.cut.excess(candidate) for person, candidate in each.items()}
                for one, each in zip(results, options, strict=True)
            ]
        )
        return [
            None if one is None else frame.take(one, {} if person is None else {person: each[person]}, asked.top_k)
            for one, each, person in zip(results, options, chosen, strict=True)
        ]

    async def again(self, frame: Frame, probe: Vectors) -> Look | None:
        """Everywhere, for one face (d,); those who are another in the picture, or gone, are not it. A person may have
        many faces, so if all that were named are such, as many again are asked for."""
        top_k = len(frame.taken) + len(frame.gone) + SPARE
        while True:
            asked = self._asked(frame, top_k, Scope.GROUP)
            (result,) = await self._search(frame, probe[None], asked)
            if result is None:
                return None
            look = frame.take(result, frame.options(result.candidates, result.cut), asked.top_k)
            if not look.cut_off or top_k >= MAX_TOP_K:
                return look._replace(cut_off=False)
            top_k *= 4

    def _asked(self, frame: Frame, top_k: int, scope: Scope = Scope.AUTO) -> Asked:
        """Without the store's margin: a person who was there is counted, as whom they resemble most."""
        return Asked(min(top_k, MAX_TOP_K), scope, photos=frame.sighting.photos, with_margin=False)

    async def _search(self, frame: Frame, probes: Vectors, asked: Asked) -> Sequence[Identified | None]:
        try:
            return (await self._identifier.identify(frame.sighting.store, probes, asked, frame.deadline)).results
        except NothingSearched:
            return [None] * len(probes)
