"""Empties the spool into the gateway, oldest first, from a thread of its own.

    Sent     → out of the spool                 Later  → kept; all wait, longer each time (Retry-After is obeyed)
    Refused  → one photo named? without it      Barred → kept; a key, store or URL is wrong, said once, tried rarely
               MIXED_TRACK? photo by photo
               else to `rejected`

A sighting that may itself be the cause (it kills the encoder, or takes too long) lets the others go first. It is
rejected after POISONOUS attempts between which others were taken; where none is taken, the gateway is to blame, and it
is kept.
"""

from __future__ import annotations

import random
import re
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from deploy.camera.spool import Spool
from deploy.client.http import ClientError
from deploy.client.sightings import Barred, Later, Outcome, Refused, Sent, Sighting

FIRST_PAUSE_S, LONGEST_PAUSE_S, LONGEST_ASKED_S = 0.5, 30.0, 300.0
POISONOUS = 10
ONE_PHOTO = re.compile(r"image\[(\d+)\]")
MIXED_TRACK = "MIXED_TRACK"


@dataclass(slots=True)
class Tally:
    """What became of the sightings so far."""

    sent: int = 0
    rejected: int = 0
    faces: Counter[str] = field(default_factory=Counter)
    """by the gateway's word for what became of each: counted, pending, rejected, staff"""
    problems: Counter[str] = field(default_factory=Counter)
    """by the code of the problem, of rejected sightings"""
    reasons: dict[str, str] = field(default_factory=dict)
    """code → what the gateway said, of the last one"""


class Sender:
    """`post` makes one attempt. `report` hears when the gateway is away and when it is back."""

    def __init__(
        self, spool: Spool, post: Callable[[Sighting], Outcome], report: Callable[[str], None] = lambda _: None
    ) -> None:
        self.tally = Tally()
        self.trouble: Later | Barred | None = None
        """why nothing is being sent; None while all is well"""
        self._spool = spool
        self._post = post
        self._report = report
        self._broken: OSError | None = None
        self._failures = 0
        self._faults: Counter[str] = Counter()
        """failures that may be a sighting's own"""
        self._alone: Counter[str] = Counter()
        """those between which others were taken"""
        self._sent_then: Counter[str] = Counter()
        """how many had been sent when it failed last"""
        self._no_more = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        """Nothing more will be put into the spool: end once it is empty."""
        self._no_more.set()
        self._wake()

    def stop(self) -> None:
        """End after the attempt that runs; the rest stays in the spool."""
        self._stop.set()
        self._wake()

    def join(self, timeout_s: float | None = None) -> bool:
        """True once it has ended."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _wake(self) -> None:
        with self._spool.changed:
            self._spool.changed.notify_all()

    @property
    def stuck(self) -> bool:
        """True if waiting longer is no use: somebody has to change something, or look at what is left."""
        match self.trouble:
            case Barred():
                return True
            case Later(its_own_fault=True):
                return self._failures >= POISONOUS
            case _:
                return False

    def check(self) -> None:
        """Raise ClientError if the spool failed under it: nothing is sent any more then."""
        if self._broken is not None:
            raise ClientError(
                f"The spool {self._spool.root} cannot be used: {self._broken.strerror}."
            ) from self._broken

    def _run(self) -> None:
        try:
            self._send_all()
        except OSError as error:
            self._broken = error

    def _send_all(self) -> None:
        while not self._stop.is_set():
            waiting = self._spool.next(self._faults.__getitem__)
            if waiting is not None:
                name, sighting = waiting
                self._settle(name, sighting, self._post(sighting))
            elif self._no_more.is_set():
                return
            else:
                with self._spool.changed:
                    self._spool.changed.wait_for(self._has_something_to_do)

    def _has_something_to_do(self) -> bool:
        return len(self._spool) > 0 or self._no_more.is_set() or self._stop.is_set()

    def _settle(self, name: str, sighting: Sighting, outcome: Outcome) -> None:
        match outcome:
            case Sent():
                self._went_well()
                self._spool.done(name)
                self.tally.sent += 1
                self.tally.faces.update(outcome.outcomes)
            case Refused():
                self._went_well()
                self._give_up(name, sighting, outcome)
            case Later() if outcome.its_own_fault and self._is_poisonous(name):
                self._reject(name, sighting, Refused({"code": "POISONOUS", "detail": outcome.why}))
            case Later() | Barred():
                self._wait(outcome)

    def _is_poisonous(self, name: str) -> bool:
        """Note one more failure that may be its own; True if others fared better often enough."""
        if self._faults[name] == 0 or self.tally.sent > self._sent_then[name]:
            self._alone[name] += 1
        self._faults[name] += 1
        self._sent_then[name] = self.tally.sent
        return self._alone[name] >= POISONOUS

    def _went_well(self) -> None:
        if self.trouble is not None:
            self._report("The gateway answers again.")
        self.trouble, self._failures = None, 0

    def _give_up(self, name: str, sighting: Sighting, refused: Refused) -> None:
        """Not on the photos that are not to blame."""
        one = ONE_PHOTO.fullmatch(refused.field)
        several = len(sighting.shots) > 1
        if several and refused.code == MIXED_TRACK:
            self._spool.replace(name, sighting.one_by_one())
        elif several and one is not None and int(one[1]) < len(sighting.shots):
            self._spool.put(sighting.without(int(one[1])))
        else:
            self._reject(name, sighting, refused)

    def _reject(self, name: str, sighting: Sighting, refused: Refused) -> None:
        self._spool.reject(name, sighting, refused.problem)
        self.tally.rejected += 1
        self.tally.problems[refused.code] += 1
        self.tally.reasons[refused.code] = str(refused.problem.get("detail", ""))

    def _wait(self, outcome: Later | Barred) -> None:
        if self.trouble is None or self.trouble.why != outcome.why:
            self._report(f"{outcome.why} Sightings are kept.")
        self.trouble = outcome
        self._failures += 1
        self._stop.wait(pause_s(outcome, self._failures, random.random()))  # noqa: S311  # no secret


def pause_s(outcome: Later | Barred, failures: int, chance: float) -> float:
    """What the gateway asked for; else doubling from 0.5 to 30 s, and by `chance` (0 to 1) down to half of it, so that
    a chain's cameras do not all come back at once."""
    if isinstance(outcome, Later) and outcome.pause_s is not None:
        return max(0.1, min(LONGEST_ASKED_S, outcome.pause_s))
    longest = LONGEST_PAUSE_S if isinstance(outcome, Barred) else FIRST_PAUSE_S * 2.0 ** min(failures - 1, 10)
    return float(min(LONGEST_PAUSE_S, longest) * (1 - chance / 2))
