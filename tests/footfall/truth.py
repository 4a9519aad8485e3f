"""What a report must say, reckoned from the sightings in the plainest way: sort, and look at the gaps.

Shares no code with what it checks. A visit belongs to the time at which it starts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tests.footfall.traffic import Sighting

WINDOW_S = 1800
"""the default re-entry window"""


@dataclass(frozen=True, slots=True)
class Visit:
    person: str
    store: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Figures:
    pv: int
    uv: int
    new: int
    dwell_s: float | None
    """mean over the visits, to the millisecond; None without any"""


def visits_of(sightings: Iterable[Sighting], window_s: int = WINDOW_S) -> list[Visit]:
    """A person unseen at a store for longer than the window comes for another visit."""
    times: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    for sighting in sightings:
        times[sighting.person, sighting.store].add(sighting.at_ms)
    made = []
    for (person, store), seen in times.items():
        ordered = sorted(seen)
        start = last = ordered[0]
        for at_ms in ordered[1:]:
            if at_ms - last > 1000 * window_s:
                made.append(Visit(person, store, start, last))
                start = at_ms
            last = at_ms
        made.append(Visit(person, store, start, last))
    return made


def figures(visits: Sequence[Visit], counted: Callable[[int], bool] = lambda _: True) -> Figures:
    """Of visits of one store, or of a whole group's: those whose start is `counted`. Pass all visits there are, those
    before the range too: who came earlier is not new."""
    inside = [visit for visit in visits if counted(visit.start_ms)]
    firsts: dict[str, int] = {}
    for visit in visits:
        firsts[visit.person] = min(visit.start_ms, firsts.get(visit.person, visit.start_ms))
    lengths = [visit.end_ms - visit.start_ms for visit in inside]
    return Figures(
        pv=len(inside),
        uv=len({visit.person for visit in inside}),
        new=sum(counted(first) for first in firsts.values()),
        dwell_s=round(sum(lengths) / len(lengths) / 1000, 3) if lengths else None,
    )


def by_store(visits: Iterable[Visit]) -> dict[str, list[Visit]]:
    sorted_out: defaultdict[str, list[Visit]] = defaultdict(list)
    for visit in visits:
        sorted_out[visit.store].append(visit)
    return dict(sorted_out)
