"""How far sightings that wait may still change the figures. Pure.

One that is resolved adds a moment at which some person was there. That can

    add a visit         that starts at that moment, so only if the moment lies in the range
    take a visit away   by joining two, or by moving a start to before the range: the moment is in the range, or within
                        the re-entry window before it
    add a person        as it can add a visit
    take a person away  by leading from before the range to the start of their first visit in it. Of such a chain of
                        moments, each within the window of the next, the last one before the beginning of the range or
                        the first one after it is new: it lies within the window of the beginning, on either side

each of them once. Until then every waiting sighting is left out of the figures.
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
    leads_over = sum(of.between(span.start - of.window_ms, span.start + of.window_ms) for of in waiting)
    return Provisional(
        pending=pending,
        pv=(max(0, figures.pv - joins), figures.pv + pending),
        uv=(max(0, figures.uv - leads_over), figures.uv + pending),
    )
