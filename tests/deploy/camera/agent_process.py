"""Whole agents as processes that kill themselves (SIGKILL) before or after their nth step.

For each line "SPOOL URL PEOPLE N" of the input one agent is forked (so the imports cost their time once). A step is a
call that changes the disk, or a request. The output has one line "safe NAME" for each sighting that the agent was told
is safe, and then one line "ended CODE".
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from deploy.camera import run as running
from deploy.camera.agent import Agent
from deploy.camera.sender import Sender
from deploy.camera.source import Frame
from deploy.camera.spool import Spool, name_of
from deploy.client.sightings import Sighting, SightingClient
from tests.deploy.camera.made import Drawn, box, frames

APART_MS = 60_000


class Steps:
    """Counts the steps of all threads."""

    def __init__(self, last: int) -> None:
        self._left = last
        self._lock = threading.Lock()

    def step(self) -> None:
        with self._lock:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            self.step()
            result = call(*arguments, **named)
            self.step()
            return result

        return counted


class People:
    """One person a minute."""

    ends = True

    def __init__(self, count: int) -> None:
        self._count = count

    def frames(self) -> Iterator[Frame]:
        yield from frames(self._count, APART_MS)

    def close(self) -> None:
        """Nothing is held open."""


def live(root: Path, url: str, people: int, last_step: int) -> None:
    steps = Steps(last_step)
    for name in ("open", "fsync", "replace", "unlink", "mkdir"):
        setattr(os, name, steps.around(getattr(os, name)))
    spool = Spool(root)
    spool.open()
    stop = threading.Event()
    into = running.into(spool, patiently=True, stop=stop)

    def put(sighting: Sighting) -> None:
        into(sighting)
        os.write(1, f"safe {name_of(sighting)}\n".encode())

    with SightingClient(url) as client:
        sender = Sender(spool, steps.around(client.post))
        agent = Agent("vienna", "door", Drawn([[box(0)]] * people), put)
        running.run(People(people), agent, sender, stop, lambda: None)


def main() -> None:
    for line in sys.stdin:
        root, url, people, last_step = line.split()
        process = os.fork()
        if process == 0:
            live(Path(root), url, int(people), int(last_step))
            os._exit(0)
        _, status = os.waitpid(process, 0)
        os.write(1, f"ended {os.waitstatus_to_exitcode(status)}\n".encode())


if __name__ == "__main__":
    main()
