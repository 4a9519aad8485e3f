"""Keeps child processes running: starts them in stages, restarts the ones that die, ends them in reverse order.

One thread does all the starting and ending, because the kernel kills a child when the *thread* that forked it ends
(`children.py`). Every other thread only sets flags and reads. Nothing here knows what the children are.

Rejected: a process group without supervision (a killed shard would stay away), and restarting without pause (a child
that cannot start would fill the log and a core).
"""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from deploy.local.children import kill_group

POLL_S = 0.05
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 10.0
STABLE_S = 20.0  # a child alive for so long has recovered: its next death is a first one again
HOPELESS = 4  # deaths in a row after which a start is given up by those who wait for it


def pause_s(deaths: int) -> float:
    """Seconds before the restart after the given number of deaths in a row: 0.1, 0.2, 0.4, … 10."""
    return float(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (min(deaths, 30) - 1)))


@dataclass(frozen=True, slots=True)
class Child:
    name: str
    start: Callable[[], subprocess.Popen[bytes]]
    """called from the supervisor's thread, for every restart too; an OSError counts as a death"""
    lacks: Callable[[], str | None] = lambda: None
    """why the next stage cannot start yet, None once it can; a quick look, called again and again"""
    grace_s: float = 10.0
    """from the signal to SIGKILL when all of them are asked to end"""
    end_signal: signal.Signals = signal.SIGTERM
    """how it is asked to end with all the others"""


class _Slot:
    """One child and what became of it. `tend` and `end` belong to the supervisor's thread."""

    def __init__(self, child: Child, report: Callable[[str], None]) -> None:
        self.child = child
        self.process: subprocess.Popen[bytes] | None = None
        self.deaths = 0
        self.held = False
        self._report = report
        self._alive = False
        self._born = self._not_before = 0.0

    def tend(self) -> None:
        now = time.monotonic()
        if self._alive and self.process is not None:
            status = self.process.poll()
            if status is None:
                self.deaths = 0 if now - self._born > STABLE_S else self.deaths
                return
            self._alive = False
            kill_group(self.process)  # its workers would go on without it
            self._bury(how_it_ended(status))
        if not self.held and now >= self._not_before:
            self._launch()

    def _launch(self) -> None:
        self._born = time.monotonic()
        try:
            self.process = self.child.start()
            self._alive = True
        except OSError as error:
            self._bury(f"could not be started: {error}")

    def _bury(self, how: str) -> None:
        if self.held:
            self._not_before = 0.0
            return
        self.deaths += 1
        self._not_before = time.monotonic() + pause_s(self.deaths)
        self._report(f"{self.child.name} {how}; starting it again in {pause_s(self.deaths):.1f} s")

    def end(self, deadline: float) -> None:
        if self.process is None or not self._alive:
            return  # its number may be somebody else's by now
        try:
            self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._report(f"{self.child.name} did not end within {self.child.grace_s:.0f} s and is killed")
        kill_group(self.process)
        self.process.wait()


def how_it_ended(status: int) -> str:
    """In words, from `Popen.returncode`."""
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with exit code {status}"


class Supervisor:
    """`stages` start one after another, each once the one before lacks nothing; `report` gets one line an event."""

    def __init__(self, stages: Sequence[Sequence[Child]], report: Callable[[str], None]) -> None:
        self._stages = [[_Slot(child, report) for child in stage] for stage in stages]
        self._slots = {slot.child.name: slot for stage in self._stages for slot in stage}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End all children, the last stage first; returns when none of them is left. Harmless a second time."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def alive(self) -> bool:
        return self._thread.is_alive()

    def names(self) -> list[str]:
        return list(self._slots)

    def process(self, name: str) -> subprocess.Popen[bytes]:
        """The newest process of that name, which may have died just now. KeyError if it was never started."""
        process = self._slots[name].process
        if process is None:
            raise KeyError(f"{name} has not been started")
        return process

    def hopeless(self) -> str | None:
        """The name of a child that died several times in a row, if there is one."""
        return next((name for name, slot in self._slots.items() if slot.deaths >= HOPELESS), None)

    def lacks(self) -> str | None:
        """What the stages wait for, or who is down; None if all of them run."""
        waits = (why for slot in self._slots.values() if (why := slot.child.lacks()))
        # A dead one may be remembered as ready by others for a while: its last heartbeat outlives it.
        down = (
            f"{name} is down" for name, slot in self._slots.items() if slot.process and slot.process.poll() is not None
        )
        return next(waits, None) or next(down, None)

    @contextmanager
    def held_down(self, name: str) -> Iterator[None]:
        """Kill a child (SIGKILL) and keep it down inside the block; it is started again at the block's end."""
        slot = self._slots[name]
        slot.held = True
        try:
            kill_group(self.process(name))
            self.process(name).wait()
            yield
        finally:
            slot.held = False

    def restart(self, name: str) -> None:
        """Ask a child to end (SIGTERM), however long that takes it; returns once another process has its place."""
        slot, process = self._slots[name], self.process(name)
        slot.held = True  # an end that was asked for is no death
        try:
            process.terminate()
            process.wait()
        finally:
            slot.held = False
        while slot.process is process and not self._stopping.is_set():
            time.sleep(POLL_S)

    def _run(self) -> None:
        started: list[_Slot] = []
        for stage in self._stages:
            started += stage
            self._tend(started)
            while any(slot.child.lacks() for slot in stage) and not self._stopping.wait(POLL_S):
                self._tend(started)
        while not self._stopping.wait(POLL_S):
            self._tend(started)
        for stage in reversed(self._stages):
            self._end(stage)

    def _tend(self, slots: Sequence[_Slot]) -> None:
        for slot in slots:
            if not self._stopping.is_set():
                slot.tend()

    @staticmethod
    def _end(stage: Sequence[_Slot]) -> None:
        for slot in stage:
            if slot.process is not None:
                slot.process.send_signal(slot.child.end_signal)
        now = time.monotonic()
        for slot in stage:
            slot.end(now + slot.child.grace_s)
