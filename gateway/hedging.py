"""When to ask a second replica, and in what order to ask them all: the numbers behind the read path, without I/O.

A call that takes longer than 95% of the recent ones may be stuck, so a sibling is asked too: a hedge. If a whole shard
is busy, every call is slow, and a hedge for each would make it busier still. So hedges are paid for from a budget:
5% of the calls, saved up to a burst that is enough for all requests which a freshly hung replica holds up at once.

A replica that failed, or that was outrun while it answered nobody, is in doubt: it goes last, and after a cool-off one
request tries it again. One that is outrun but answers others meanwhile is only busy: doubting it would send all of its
load to its sibling, and back.

Times are seconds of one monotonic clock, handed in by the caller.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

from common.cluster_map import Heartbeat

WINDOW = 300
"""durations remembered, a shard"""
ENOUGH = 20
"""durations before they say anything"""
RECKON_EVERY = 16
"""durations between two looks at the window: sorting it for every call would cost more than it tells"""
SLOW = 0.95
FLOOR_S = 0.005
UNKNOWN_S = 0.05
"""patience with a call before there are enough durations"""
SHARE = 0.05
BURST = 20.0
COOL_OFF_S = 2.0


class Pace:
    """How long calls to one shard's replicas take, and how many hedges they may still get."""

    def __init__(self) -> None:
        self._durations: deque[float] = deque(maxlen=WINDOW)
        self._noted = 0
        self._tokens = BURST
        self.patience_s = UNKNOWN_S
        """a call that takes longer is hedged"""

    def called(self) -> None:
        """A call was made that was no hedge: it earns a part of one."""
        self._tokens = min(BURST, self._tokens + SHARE)

    @property
    def can_hedge(self) -> bool:
        return self._tokens >= 1

    def take_hedge(self) -> bool:
        """Pay for one hedge; false if the budget does not allow it."""
        if not self.can_hedge:
            return False
        self._tokens -= 1
        return True

    def took(self, seconds: float) -> None:
        """A call took so long; or at least so long, when it was cut off because a sibling was faster. (Without those,
        the slow ones would be missing from the window, and the patience would shrink and shrink.)"""
        self._durations.append(seconds)
        self._noted += 1
        if len(self._durations) >= ENOUGH and self._noted % RECKON_EVERY == 0:
            ranked = sorted(self._durations)
            self.patience_s = max(FLOOR_S, ranked[int(SLOW * len(ranked))])


@dataclass(slots=True)
class Health:
    """What calls to one replica told about it."""

    in_flight: int = 0
    answered_at: float = -inf
    doubted_at: float | None = None
    """when it last failed or was outrun; None once it has answered since"""

    def called(self, now: float) -> None:
        """A call begins. The first one after the cool-off is the one that tries again; the doubt goes on for others."""
        self.in_flight += 1
        if self.doubted_at is not None and now - self.doubted_at >= COOL_OFF_S:
            self.doubted_at = now

    def ended(self) -> None:
        self.in_flight -= 1

    def answered(self, now: float) -> None:
        self.answered_at = now
        self.doubted_at = None

    def failed(self, now: float) -> None:
        self.doubted_at = now

    def outrun(self, started: float, now: float) -> None:
        """A call from `started` on was slow, and a sibling was faster."""
        if self.answered_at < started:
            self.doubted_at = now

    def doubted_since(self, started: float) -> bool:
        """Whether another call found, after `started`, that it does not answer."""
        return self.doubted_at is not None and self.doubted_at > started

    def goes_last(self, now: float, may_try: bool) -> bool:
        """In doubt, and not due for a new try (or nobody may try now)."""
        return self.doubted_at is not None and (now - self.doubted_at < COOL_OFF_S or not may_try)


def in_order(beats: Sequence[Heartbeat], health: Callable[[str], Health], now: float, may_try: bool) -> list[Heartbeat]:
    """Whom to ask first: nobody in doubt; ready ones (`ReplicaState.rank`); fewest calls in flight; then by name.

    `health`: by URL. `may_try`: whether one in doubt may be tried again after its cool-off: only while there is a hedge
    to save the request that does so. Among several in doubt, the one that was found out longest ago.
    """
    if len(beats) == 1:
        return [*beats]

    def key(beat: Heartbeat) -> tuple[bool, int, float, int, str]:
        known = health(beat.url)
        last = known.goes_last(now, may_try)
        since = known.doubted_at if last and known.doubted_at is not None else 0.0
        return last, beat.state.rank, since, known.in_flight, beat.replica

    return sorted(beats, key=key)
