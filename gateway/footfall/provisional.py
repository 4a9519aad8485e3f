"""How far sightings that wait may still change the figures. Pure.

One that is resolved adds a moment at which some person was there. That can add one visit that starts in the range, if
the moment lies in it; it can join two visits, or move a visit's start to before the range, and so take one away. A
person it can add, or take away by moving all of their visits' starts to before the range. Until then every waiting
sighting is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.footfall.calendar import Span
from gateway.footfall.figures import Figures


@dataclass(frozen=True, slots=True)
class Waiting:
    """Of one store: when each sighting that waits was made, ms, and its re-entry window."""

    times: Sequence[int]
    window_ms: int

    def between(self, start_ms: int, end_ms: int) -> int:
        return sum(at in Span(start_ms, end_ms) for at in self.times)


@dataclass(frozen=True, slots=True)
class Provisional:
    pending: int
    """sightings in the range that wait"""
    pv: tuple[int, int]
    """at least, at most"""
    uv: tuple[int, int]


def provisional(figures: Figures, waiting: Sequence[Waiting]) -> Provisional:
    """`waiting` of every store that the figures are of."""
    span = figures.span
    pending = sum(of.between(*span) for of in waiting)
    joins = sum(of.between(span.start - of.window_ms, span.end) for of in waiting)
    # From there a chain of sightings can lead over the beginning of the range. See the test for the argument.
    leads_over = sum(of.between(span.start - of.window_ms, span.start + of.window_ms) for of in waiting)
    return Provisional(
        pending=pending,
        pv=(max(0, figures.pv - joins), figures.pv + pending),
        uv=(max(0, figures.uv - leads_over), figures.uv + pending),
    )
