"""What happened: every request with the weather it was made in, and every promise that was broken."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

Promise = Literal[
    "wrong answers",
    "lost writes",
    "duplicate strangers",
    "inconclusive without a fault",
    "errors without a fault",
]


class Weather(StrEnum):
    CALM = "calm"
    HUNG = "one replica hung"
    FAULTS = "faults"


PROMISES: tuple[Promise, ...] = (
    "wrong answers",
    "lost writes",
    "duplicate strangers",
    "inconclusive without a fault",
    "errors without a fault",
)


@dataclass(slots=True)
class Record:
    weather: Weather = Weather.CALM
    whole_since: float = 0.0
    """`time.monotonic()` since when nothing has been broken; infinity while something is"""
    requests: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    inconclusive: int = 0
    older: int = 0
    """answers from before an acknowledged write, to searches that did not ask for its version"""
    faults: Counter[str] = field(default_factory=Counter)
    broken: dict[Promise, list[str]] = field(default_factory=lambda: {promise: [] for promise in PROMISES})
    _times: dict[tuple[str, Weather], list[float]] = field(default_factory=dict)

    def took(self, what: str, weather: Weather, began: float) -> None:
        """An answered request; it counts for the weather it began in only if that has not changed since."""
        self.requests[what] += 1
        if weather is self.weather:
            self._times.setdefault((what, weather), []).append(time.monotonic() - began)

    def failed(self, what: str, why: str, began: float) -> None:
        self.requests[what] += 1
        self.errors[f"{what} {why}"] += 1
        if self.was_whole(began):
            self.breaks("errors without a fault", f"{what}: {why}")

    def undecided(self, began: float, why: str) -> None:
        self.inconclusive += 1
        if self.was_whole(began):
            self.breaks("inconclusive without a fault", why)

    def was_whole(self, began: float) -> bool:
        """Nothing was broken while this request ran."""
        return began > self.whole_since

    def breaks(self, promise: Promise, why: str) -> None:
        self.broken[promise].append(why)

    def quantile_ms(self, what: str, weather: Weather, quantile: float) -> float | None:
        times = sorted(self._times.get((what, weather), []))
        return 1000 * times[int(quantile * (len(times) - 1))] if times else None

    def answered(self, what: str, weather: Weather) -> int:
        return len(self._times.get((what, weather), []))
