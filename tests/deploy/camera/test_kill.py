"""kill -9 between any two steps of the agent: what was safe arrives, whole, once or more, with its time."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.camera.sender import Sender
from deploy.camera.spool import Spool
from deploy.client.moment import as_text
from deploy.client.sightings import SightingClient
from tests.conftest import REPOSITORY
from tests.deploy.camera.agent_process import APART_MS
from tests.deploy.camera.made import NINE
from tests.deploy.camera.receiver import Received, Receiver

PEOPLE = 2
TIMES = [as_text(NINE + APART_MS * nth) for nth in range(PEOPLE)]


@dataclass
class Run:
    """One agent's life and what its successor made of it."""

    code: int
    safe: list[str]
    """the times of the sightings that were in the spool, as the agent was told"""
    before: list[Received]
    received: list[Received]
    left: list[Path]


@pytest.fixture
def agents() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.deploy.camera.agent_process"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, bufsize=1, cwd=REPOSITORY) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def lived(agents: subprocess.Popen[str], root: Path, last_step: int) -> Run:
    assert agents.stdin is not None
    assert agents.stdout is not None
    with Receiver() as receiver:
        agents.stdin.write(f"{root} {receiver.url} {PEOPLE} {last_step}\n")
        told = [agents.stdout.readline().split()]
        while told[-1][0] != "ended":
            told.append(agents.stdout.readline().split())
        before = list(receiver.taken)
        resume(root, receiver.url)
        safe = [as_text(int(name.partition("-")[0])) for _, name in told[:-1]]
        return Run(int(told[-1][1]), safe, before, list(receiver.taken), list(root.glob("[wr]*/*")))


def resume(root: Path, url: str) -> None:
    spool = Spool(root)
    spool.open()
    with SightingClient(url) as client:
        sender = Sender(spool, client.post)
        sender.start()
        sender.finish()
        assert sender.join(20)
        sender.check()
    spool.close()


def test_nothing_that_was_safe_is_lost_or_changed_by_a_kill_at_any_step(
    agents: subprocess.Popen[str], tmp_path: Path
) -> None:
    runs = [lived(agents, tmp_path / "1", 1)]
    while runs[-1].code == -signal.SIGKILL:
        last_step = len(runs) + 1
        runs.append(lived(agents, tmp_path / str(last_step), last_step))
    *killed, whole = runs
    assert len(killed) > 25
    assert whole.code == 0
    assert sorted(one.at for one in whole.received) == TIMES
    photos = {one.at: one.photos for one in whole.received}
    for run in runs:
        assert {one.at for one in run.received} >= set(run.safe)
        assert all(one.photos == photos[one.at] for one in run.received), "a sighting was cut or has another's time"
        assert run.left == []
    assert any(run.safe and not run.before for run in killed), "no kill came between the spool and the gateway"
    assert any(len(run.received) > len(set(run.received)) for run in killed), "no kill came before the answer counted"
