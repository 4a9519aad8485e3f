"""How well are people recognised? Counts over searches whose right answer is known. Measures; judges nothing."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field

from deploy.client.answers import SearchBody
from deploy.client.enrolment import as_upload, in_parallel
from deploy.client.http import Client, Problem
from deploy.client.photos import Person, Photo

Identity = tuple[str, str]
"""(store, face id)"""


@dataclass(frozen=True, slots=True)
class Probe:
    """A photo searched at a store, and who it shows; None for somebody enrolled nowhere."""

    photo: Photo
    store: str
    who: Identity | None


@dataclass(slots=True)
class Tally:
    probes: int = 0
    rank_1: int = 0
    """the right person is the best candidate, whatever the threshold"""
    true_matches: int = 0
    false_matches: int = 0
    """matched, but not this person"""
    missed: int = 0
    """`no_match` for somebody who is enrolled"""
    rejected: int = 0
    """`no_match` for somebody who is not"""
    inconclusive: int = 0
    unusable: int = 0
    """photos that were refused; not among `probes`"""
    total_ms: list[float] = field(default_factory=list, repr=False)
    search_ms: list[float] = field(default_factory=list, repr=False)
    """of it, without reading and encoding the photo"""

    def add(self, who: Identity | None, answer: SearchBody | None) -> None:
        """Count one search by the largest face in its photo; None: the photo was refused."""
        if answer is None:
            self.unusable += 1
            return
        result = answer["results"][0]
        best = next(((c["store"], c["face_id"]) for c in result["candidates"]), None)
        right = who is not None and best == who
        matched, denied = result["verdict"] == "match", result["verdict"] == "no_match"
        self.probes += 1
        self.rank_1 += right
        self.true_matches += matched and right
        self.false_matches += matched and not right
        self.missed += denied and who is not None
        self.rejected += denied and who is None
        self.inconclusive += not matched and not denied
        timing = answer["timing"]
        self.total_ms.append(timing["total_ms"])
        self.search_ms.append(timing["home_ms"] + timing["fan_out_ms"])

    def figures(self) -> dict[str, float | None]:
        """Everything counted, with medians in place of the single times."""
        counted = {name: value for name, value in asdict(self).items() if not name.endswith("_ms")}
        return counted | {"median_total_ms": median(self.total_ms), "median_search_ms": median(self.search_ms)}


def median(values: Sequence[float]) -> float | None:
    return round(statistics.median(values), 2) if values else None


def searched(client: Client, probes: Sequence[Probe], workers: int) -> Iterator[tuple[Probe, SearchBody | None]]:
    """Each probe with its answer as it comes; None for a photo that the gateway refused or that cannot be read."""

    def search(probe: Probe) -> tuple[Probe, SearchBody | None]:
        try:
            return probe, client.search(probe.store, as_upload(probe.photo), top_k=1)
        except OSError:
            return probe, None
        except Problem as problem:
            if problem.field.startswith("image"):
                return probe, None
            raise

    yield from in_parallel(search, probes, workers)


def tally(answers: Iterable[tuple[Probe, SearchBody | None]]) -> Tally:
    counted = Tally()
    for probe, answer in answers:
        counted.add(probe.who, answer)
    return counted


def split(people: Sequence[Person], stores: Sequence[str]) -> list[tuple[str, Person]]:
    """(home store, person): people take turns, so that a person is at one store only."""
    return [(stores[at % len(stores)], person) for at, person in enumerate(people)]


def probes_of(homes: Sequence[tuple[str, Person]], stores: Sequence[str], away: int) -> list[Probe]:
    """All photos but the first of each person, searched `away` stores further on from home; 0: at home."""
    return [
        Probe(photo, stores[(stores.index(home) + away) % len(stores)], (home, person.face_id))
        for home, person in homes
        for photo in person.photos[1:]
    ]
