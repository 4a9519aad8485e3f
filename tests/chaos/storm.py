"""What is done to the cluster: one fault after another, each followed by a look whether everything heals by itself."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from math import inf

from deploy.local.cluster import LocalCluster
from tests.chaos.record import Record, Weather

HEALED_S = 60.0
AFTERWARDS_S = 1.0
"""for the gateways to hear of what is back; only then nothing may be inconclusive any more"""


class NotHealed(AssertionError):
    """The cluster did not become whole by itself after a fault."""


class Storm:
    """Runs on a thread of its own, so that a slow look at the cluster does not hold up the load."""

    def __init__(
        self,
        cluster: LocalCluster,
        replicas: Sequence[str],
        gateways: Sequence[str],
        record: Record,
        dice: random.Random,
    ) -> None:
        self._cluster = cluster
        self._replicas = list(replicas)
        self._gateways = list(gateways)
        self._record = record
        self._dice = dice
        self._over = threading.Event()
        self._ended: dict[str, subprocess.Popen[bytes]] = {}
        self._kinds: dict[str, tuple[int, Callable[[], None]]] = {
            "replica killed": (4, lambda: self._kill(self._replicas)),
            "replica kept down": (2, lambda: self._keep_down(self._replicas, 4)),
            "replica hung": (4, lambda: self._hang(self._replicas, 8)),
            "replica asked to end": (2, lambda: self._ask_to_end(self._replicas)),
            "gateway killed": (2, lambda: self._kill(self._gateways)),
            "gateway hung": (1, lambda: self._hang(self._gateways, 3)),
            "Redis killed": (2, lambda: self._kill(["redis"])),
            "Redis kept down": (1, lambda: self._keep_down(["redis"], 3)),
            "Redis hung": (2, lambda: self._hang(["redis"], 4)),
        }

    def calm(self, seconds: float) -> None:
        """Nothing happens."""
        self._record.whole_since = time.monotonic()
        self._over.wait(seconds)

    def blow(self, seconds: float) -> None:
        """Faults for so long, healed in between and at the end. Raises NotHealed."""
        self._record.weather = Weather.FAULTS
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self._over.is_set():
            names = list(self._kinds)
            drawn = self._dice.choices(names, [self._kinds[name][0] for name in names], k=self._dice.choice([1, 1, 2]))
            self._record.whole_since = inf
            for name in drawn:
                self._record.faults[name] += 1
                self._kinds[name][1]()
            self._until_whole(", ".join(drawn))
            self._over.wait(self._dice.uniform(0.2, 1.0))
        self._record.weather = Weather.CALM

    def hang_one(self, seconds: float) -> None:
        """One replica of a shard is stopped, and nothing else happens."""
        process = self._cluster.process(self._replicas[0])
        self._record.whole_since = inf  # its sibling has everything, but a first call or two may be lost on it
        self._record.weather = Weather.HUNG
        process.send_signal(signal.SIGSTOP)
        self._over.wait(seconds)
        self._record.weather = Weather.FAULTS
        process.send_signal(signal.SIGCONT)
        self._until_whole("one replica hung")
        self._record.weather = Weather.CALM

    def end(self) -> None:
        self._over.set()

    def _until_whole(self, after: str) -> None:
        deadline = time.monotonic() + HEALED_S
        while (why := self._awaited() or self._cluster.lacks()) is not None:
            if time.monotonic() > deadline:
                raise NotHealed(f"After {after}: still not whole after {HEALED_S:.0f} s. {why}")
            time.sleep(0.1)
        self._over.wait(AFTERWARDS_S)
        self._record.whole_since = time.monotonic()

    def _awaited(self) -> str | None:
        """A process that was ended and has no successor yet. Its last heartbeat still says that all is well."""
        self._ended = {name: old for name, old in self._ended.items() if self._cluster.process(name) is old}
        return f"{', '.join(self._ended)} not started again." if self._ended else None

    def _kill(self, names: Sequence[str]) -> None:
        self._end_with(signal.SIGKILL, self._dice.choice(names))

    def _ask_to_end(self, names: Sequence[str]) -> None:
        self._end_with(signal.SIGTERM, self._dice.choice(names))

    def _end_with(self, how: signal.Signals, name: str) -> None:
        old = self._cluster.process(name)
        old.send_signal(how)
        self._ended[name] = old

    def _keep_down(self, names: Sequence[str], longest_s: float) -> None:
        name = self._dice.choice(names)
        self._ended[name] = self._cluster.process(name)
        with self._cluster.held_down(name):
            self._over.wait(self._dice.uniform(0.5, longest_s))

    def _hang(self, names: Sequence[str], longest_s: float) -> None:
        process = self._cluster.process(self._dice.choice(names))
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGSTOP)
            self._over.wait(self._dice.uniform(0.3, longest_s))
            process.send_signal(signal.SIGCONT)
