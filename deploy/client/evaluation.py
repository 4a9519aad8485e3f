"""How well are people recognised? Counts over searches whose right answer is known. Measures; judges nothing."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field

from deploy.client.answers import SearchBody
from deploy.client.enrolment import as_upload, in_parallel
from deploy.client.http import Client, Problem
from deploy.client.photos import Person, Photo
from deploy.measure.biometrics import wilson

Identity = tuple[str, str]
"""(store, face id)"""


@dataclass(frozen=True, slots=True)
class Probe:
    """A photo searched at a store, and who it shows; None for somebody enrolled nowhere."""

    photo: Photo
    store: str
    who: Identity | None
    more: tuple[Photo, ...] = ()
    """of the same person, searched for together"""


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

    def errors(self, of_strangers: bool) -> dict[str, float | None]:
        """FPIR of strangers, FNIR of people who are enrolled, with Wilson's 95% interval. What was inconclusive is no
        false match, but it is a person not found."""
        name, wrong = ("fpir", self.false_matches) if of_strangers else ("fnir", self.probes - self.true_matches)
        interval = wilson(wrong, self.probes)
        rate = round(wrong / self.probes, 6) if self.probes else None
        return {name: rate, f"{name}_low": round(interval.low, 6), f"{name}_high": round(interval.high, 6)}


def median(values: Sequence[float]) -> float | None:
    return round(statistics.median(values), 2) if values else None


def searched(
    client: Client, probes: Sequence[Probe], workers: int, top_k: int = 1
) -> Iterator[tuple[Probe, SearchBody | None]]:
    """Each probe with its answer as it comes; None for photos that the gateway refused or that cannot be read."""

    def search(probe: Probe) -> tuple[Probe, SearchBody | None]:
        try:
            photos = [as_upload(photo) for photo in (probe.photo, *probe.more)]
            return probe, client.search(probe.store, *photos, top_k=top_k)
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


def probes_of(
    homes: Sequence[tuple[str, Person]], stores: Sequence[str], away: int, enrolled: int = 1, together: int = 1
) -> list[Probe]:
    """The photos of each person after the `enrolled` first, so many `together` as fill a probe, searched `away` stores
    further on from home; 0: at home."""
    return [
        Probe(group[0], stores[(stores.index(home) + away) % len(stores)], (home, person.face_id), group[1:])
        for home, person in homes
        for group in groups(person.photos[enrolled:], together)
    ]


def groups(photos: tuple[Photo, ...], together: int) -> list[tuple[Photo, ...]]:
    """Photos in groups of so many; what is left over fills none."""
    return [photos[at : at + together] for at in range(0, len(photos) - together + 1, together)]
