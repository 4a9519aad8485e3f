"""The figures of one bucket as they are answered, from visits (exact), from rolled-up days, or from both together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from common.rollups import Day, Sums
from gateway.footfall.calendar import Span
from gateway.footfall.reckon import MINUTE_MS, Tally


@dataclass(frozen=True, slots=True)
class Distinct:
    """An estimate by HyperLogLog."""

    persons: int
    members: int


@dataclass(frozen=True, slots=True)
class Figures:
    span: Span
    pv: int
    uv: int
    new: int
    members: int
    dwell_average_s: float | None
    """None where nobody came"""
    dwell_median_s: float | None
    occupancy_average: float
    """persons"""
    occupancy_peak: int | None
    """None where it is not known: of several stores on days whose visits are no longer kept"""
    exact: bool

    @property
    def returning(self) -> int:
        return self.uv - self.new


def exactly(span: Span, tally: Tally) -> Figures:
    pv = tally.pv
    return Figures(
        span=span,
        pv=pv,
        uv=tally.uv,
        new=tally.new,
        members=tally.members,
        dwell_average_s=float(tally.dwells.mean()) / 1000 if pv else None,
        dwell_median_s=float(np.median(tally.dwells)) / 1000 if pv else None,
        occupancy_average=tally.person_ms / (span.end - span.start),
        occupancy_peak=tally.peak,
        exact=True,
    )


def combined(span: Span, tally: Tally, days: Sequence[Day], distinct: Distinct, *, chain: bool) -> Figures:
    """`tally` is of the visits that are kept, `days` are the rolled-up ones in the span; `chain`: of several stores."""
    sums = [day.sums for day in days if day.sums is not None]
    pv = tally.pv + sum(day.pv for day in sums)
    new = tally.new + sum(day.new_in_group if chain else day.new for day in sums)
    uv = min(pv, max(new, distinct.persons))
    person_ms = tally.person_ms + sum(day.person_ms for day in sums)
    dwell_ms = int(tally.dwells.sum()) + sum(day.dwell_ms for day in sums)
    return Figures(
        span=span,
        pv=pv,
        uv=uv,
        new=new,
        members=min(uv, distinct.members),
        dwell_average_s=dwell_ms / pv / 1000 if pv else None,
        dwell_median_s=_median_s([minutes_of(tally), *(day.minutes for day in sums)]),
        occupancy_average=person_ms / (span.end - span.start),
        occupancy_peak=None if chain else max([tally.peak, *(day.peak for day in sums)]),
        exact=False,
    )


def sums_of(tally: Tally, new_in_group: int) -> Sums:
    """What is kept of a day."""
    return Sums(
        pv=tally.pv,
        new=tally.new,
        new_in_group=new_in_group,
        dwell_ms=int(tally.dwells.sum()),
        minutes=minutes_of(tally),
        person_ms=tally.person_ms,
        peak=tally.peak,
    )


def minutes_of(tally: Tally) -> dict[int, int]:
    """Visits by their length in whole minutes."""
    return dict(sorted(Counter((tally.dwells // MINUTE_MS).tolist()).items()))


def _median_s(histograms: Sequence[Mapping[int, int]]) -> float | None:
    """To the minute, rounded down."""
    together: Counter[int] = Counter()
    for histogram in histograms:
        together.update(histogram)
    count = together.total()
    if not count:
        return None
    return 60 * (_nth(together, (count - 1) // 2) + _nth(together, count // 2)) / 2


def _nth(histogram: Mapping[int, int], nth: int) -> int:
    passed = 0
    for minute, count in sorted(histogram.items()):
        passed += count
        if passed > nth:
            return minute
    raise IndexError(nth)
