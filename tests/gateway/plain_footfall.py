"""A report from sightings in the plainest way: sort, look at the gaps, ask the clock on the wall. Shares no code with
what it checks, and knows nothing of bucket bounds: it looks at the local time every quarter of an hour, which is where
clocks are changed."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import mean, median
from zoneinfo import ZoneInfo

QUARTER_MS = 900_000
Label = Callable[[datetime], Hashable]
Sightings = Mapping[str, Sequence[int]]
"""person → times in ms, in any order, also repeated"""

LABELS: dict[str, Label] = {
    "hour": lambda at: (at.date(), at.hour, at.utcoffset()),
    "day": lambda at: at.date(),
    "week": lambda at: at.isocalendar()[:2],
    "month": lambda at: (at.year, at.month),
}


@dataclass(frozen=True, slots=True)
class Plain:
    start_ms: int
    end_ms: int
    pv: int
    uv: int
    new: int
    members: int
    dwell_average_s: float | None
    dwell_median_s: float | None
    occupancy_average: float
    occupancy_peak: int


def bounds(start_ms: int, end_ms: int, zone: ZoneInfo, label: Label) -> list[tuple[int, int]]:
    """Where the label changes."""
    first = start_ms - start_ms % QUARTER_MS + QUARTER_MS
    looked = [start_ms, *range(first, end_ms, QUARTER_MS)]
    labels = [label(datetime.fromtimestamp(at / 1000, zone)) for at in looked]
    edges = [at for at, before, now in zip(looked[1:], labels, labels[1:], strict=False) if now != before]
    return list(zip([start_ms, *edges], [*edges, end_ms], strict=True))


def visits(times: Sequence[int], window_ms: int) -> list[tuple[int, int]]:
    made: list[list[int]] = []
    for at in sorted(times):
        if made and at - made[-1][-1] <= window_ms:
            made[-1].append(at)
        else:
            made.append([at])
    return [(one[0], one[-1]) for one in made]


def plain(sightings: Sightings, window_ms: int, span: tuple[int, int], members: frozenset[str] = frozenset()) -> Plain:
    """The figures of one bucket; `sightings` are all there ever were."""
    start, end = span
    made = [(person, *visit) for person, times in sightings.items() for visit in visits(times, window_ms)]
    inside = [visit for visit in made if start <= visit[1] < end]
    persons = {person for person, _, _ in inside}
    dwells = [(last - first) / 1000 for _, first, last in inside]
    there = [(first, last) for _, first, last in made if first < end and last >= start]
    moments = {max(start, first) for first, _ in there}
    return Plain(
        start,
        end,
        pv=len(inside),
        uv=len(persons),
        new=sum(start <= min(times) < end for times in sightings.values() if times),
        members=len(persons & members),
        dwell_average_s=mean(dwells) if dwells else None,
        dwell_median_s=median(dwells) if dwells else None,
        occupancy_average=sum(min(end, last) - max(start, first) for first, last in there) / (end - start),
        occupancy_peak=max((sum(a <= at <= b for a, b in there) for at in moments), default=0),
    )
