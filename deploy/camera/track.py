"""Which box of this frame is which face of the frame before: by overlap alone, without looking at pixels.

Greedy, best overlap first: where faces are apart from each other it gives what the best assignment would, and where
they cross neither can be trusted (the gateway refuses photos of two people as one track). A face that nobody saw for
longer than GAP_MS is gone, and a frame that is further than that from the last one, or before it, is another scene:
nothing is linked over it, so photos of a folder that merely lie side by side do not become one person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.encoder import Box

GAP_MS = 2000
LEAST_OVERLAP = 0.3
"""a face that moves half its width between two frames overlaps itself by a third"""


@dataclass(slots=True)
class Track:
    """One face followed from frame to frame."""

    number: int
    box: Box
    """where it was last"""
    first_ms: int
    last_ms: int


@dataclass(frozen=True, slots=True)
class Step:
    """What a frame changed."""

    seen: tuple[Track, ...]
    """one for each box, in their order"""
    ended: tuple[Track, ...]


class Tracker:
    def __init__(self) -> None:
        self._tracks: list[Track] = []
        self._number = 0
        self._at_ms: int | None = None

    def update(self, at_ms: int, boxes: Sequence[Box]) -> Step:
        """The faces of the next frame. Ended tracks are told of once and never come back."""
        ended = self._end_lost(at_ms)
        linked = link([track.box for track in self._tracks], boxes)
        seen = [
            self._follow(self._tracks[linked[n]], at_ms, box) if n in linked else None for n, box in enumerate(boxes)
        ]
        return Step(tuple(track or self._begin(at_ms, boxes[n]) for n, track in enumerate(seen)), ended)

    def end(self) -> tuple[Track, ...]:
        """No more frames: every track that is left."""
        ended, self._tracks = tuple(self._tracks), []
        return ended

    def _end_lost(self, at_ms: int) -> tuple[Track, ...]:
        before, self._at_ms = self._at_ms, at_ms
        if before is None or not before < at_ms <= before + GAP_MS:  # two frames of one camera are never of one instant
            return self.end()
        ended = tuple(track for track in self._tracks if at_ms - track.last_ms > GAP_MS)
        self._tracks = [track for track in self._tracks if at_ms - track.last_ms <= GAP_MS]
        return ended

    def _follow(self, track: Track, at_ms: int, box: Box) -> Track:
        track.box, track.last_ms = box, at_ms
        return track

    def _begin(self, at_ms: int, box: Box) -> Track:
        track = Track(self._number, box, at_ms, at_ms)
        self._number += 1
        self._tracks.append(track)
        return track


def link(before: Sequence[Box], now: Sequence[Box]) -> dict[int, int]:
    """Index in `now` → index in `before`, each at most once: the pairs that overlap most, from LEAST_OVERLAP on."""
    pairs = [(overlap(old, new), b, n) for b, old in enumerate(before) for n, new in enumerate(now)]
    linked: dict[int, int] = {}
    for share, b, n in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2])):
        if share < LEAST_OVERLAP:
            break
        if n not in linked and b not in linked.values():
            linked[n] = b
    return linked


def overlap(a: Box, b: Box) -> float:
    """Intersection over union, 0 to 1."""
    width = min(a.left + a.width, b.left + b.width) - max(a.left, b.left)
    height = min(a.top + a.height, b.top + b.height) - max(a.top, b.top)
    common = max(0, width) * max(0, height)
    return common / (a.width * a.height + b.width * b.height - common)
