"""Visits as intervals: a sighting joins the person's interval if it is within the re-entry window, bridges two, or
starts one. The result is the single-linkage clustering of the sighting times, so it does not depend on their order,
on how often one is repeated, or on which of them were joined before: late, repeated and replayed sightings give the
same visits.

Times are integer milliseconds (Unix, UTC); an interval holds its first and its last sighting.
"""

from __future__ import annotations

from collections.abc import Iterable

Interval = tuple[int, int]
DAY_MS = 86_400_000


def merge(intervals: Iterable[Interval], window_ms: int) -> list[Interval]:
    """Join intervals whose gap is at most `window_ms`; sorted."""
    joined: list[Interval] = []
    for start, end in sorted(intervals):
        if joined and start - joined[-1][1] <= window_ms:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def parse(text: str, midnight_ms: int) -> list[Interval]:
    """Read "start-end;start-end", offsets from the date's midnight, as Redis keeps the intervals of one UTC date."""
    pieces = (piece.split("-") for piece in text.split(";"))
    return [(midnight_ms + int(start), midnight_ms + int(end)) for start, end in pieces]
