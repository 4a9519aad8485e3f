"""Supervision with small real processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.local.children import start_child
from deploy.local.supervisor import FIRST_PAUSE_S, HOPELESS, LONGEST_PAUSE_S, Child, Supervisor, how_it_ended, pause_s
from tests.conftest import REPOSITORY

FOREVER = "import time; time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
)
NOTES_ITS_END = """
import signal, sys, time
def end(*_):
    open(sys.argv[1], "a").write(sys.argv[2] + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("up", flush=True)
time.sleep(600)
"""


def until(condition: Callable[[], object], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.01)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return (
        Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    )


def python(code: str, *arguments: str, output: Path | None = None) -> Callable[[], subprocess.Popen[bytes]]:
    def start() -> subprocess.Popen[bytes]:
        if output is None:
            return start_child([sys.executable, "-c", code, *arguments])
        with output.open("ab") as log:
            return start_child([sys.executable, "-c", code, *arguments], output=log)

    return start


Start = Callable[..., Supervisor]


@pytest.fixture
def supervise() -> Iterator[Start]:
    started: list[Supervisor] = []

    def start(*stages: list[Child], report: Callable[[str], None] = lambda _: None) -> Supervisor:
        supervisor = Supervisor(stages, report)
        started.append(supervisor)
        supervisor.start()
        return supervisor

    yield start
    for supervisor in started:
        supervisor.stop()


def running(supervisor: Supervisor, name: str) -> bool:
    try:
        return supervisor.process(name).poll() is None
    except KeyError:
        return False


def test_a_killed_child_is_started_again_and_one_line_says_so(supervise: Start) -> None:
    lines: list[str] = []
    supervisor = supervise([Child("a", python(FOREVER))], report=lines.append)
    until(lambda: running(supervisor, "a"))
    first = supervisor.process("a")
    first.kill()
    until(lambda: supervisor.process("a").pid != first.pid and running(supervisor, "a"))
    assert lines == ["a was killed by SIGKILL; starting it again in 0.1 s"]


def test_stopping_leaves_nothing_running_not_even_what_ignores_sigterm(supervise: Start, tmp_path: Path) -> None:
    lines: list[str] = []
    log = tmp_path / "log"
    supervisor = supervise([Child("a", python(STUBBORN, output=log), grace_s=0.2)], report=lines.append)
    until(lambda: log.exists() and log.read_text())
    pid = supervisor.process("a").pid
    supervisor.stop()
    assert gone(pid)
    assert not supervisor.alive()
    assert any("is killed" in line for line in lines)
    supervisor.stop()


def test_a_dead_childs_own_processes_are_killed_with_it(supervise: Start, tmp_path: Path) -> None:
    log = tmp_path / "log"
    start = f"subprocess.Popen([sys.executable, '-c', {FOREVER!r}])"
    parent = f"import subprocess, sys, time; print({start}.pid, flush=True); time.sleep(600)"
    supervisor = supervise([Child("a", python(parent, output=log))])
    until(lambda: log.exists() and log.read_text().endswith("\n"))
    worker = int(log.read_text().split()[0])
    assert not gone(worker)
    supervisor.process("a").kill()
    until(lambda: gone(worker))


def test_a_stage_starts_only_when_the_one_before_lacks_nothing(supervise: Start) -> None:
    missing: list[str] = ["not yet"]
    first = Child("first", python(FOREVER), lambda: missing[0] if missing else None)
    supervisor = supervise([first], [Child("second", python(FOREVER))])
    until(lambda: running(supervisor, "first"))
    assert supervisor.lacks() == "not yet"
    assert not running(supervisor, "second")
    missing.clear()
    until(lambda: running(supervisor, "second"))
    assert supervisor.lacks() is None


def test_the_last_stage_is_ended_first(supervise: Start, tmp_path: Path) -> None:
    ends = tmp_path / "ends"
    logs = [tmp_path / "server", tmp_path / "client"]
    stages = [[Child(log.name, python(NOTES_ITS_END, str(ends), log.name, output=log))] for log in logs]
    supervisor = supervise(*stages)
    until(lambda: all(log.exists() and log.read_text() for log in logs))
    supervisor.stop()
    assert ends.read_text().split() == ["client", "server"]


def test_a_child_that_keeps_dying_is_hopeless_but_never_restarted_in_a_hurry(supervise: Start) -> None:
    lines: list[str] = []
    supervisor = supervise([Child("bad", python("raise SystemExit(3)"))], report=lines.append)
    until(lambda: supervisor.hopeless() == "bad")
    assert lines[0] == "bad ended with exit code 3; starting it again in 0.1 s"
    assert len(lines) == HOPELESS


def test_a_program_that_cannot_be_started_counts_as_a_death(supervise: Start) -> None:
    lines: list[str] = []
    supervise([Child("none", lambda: start_child(["/nonexistent/program"]))], report=lines.append)
    until(lambda: lines)
    assert "could not be started" in lines[0]


def test_a_child_held_down_stays_down_until_the_block_ends(supervise: Start) -> None:
    lines: list[str] = []
    supervisor = supervise([Child("a", python(FOREVER)), Child("other", python(FOREVER))], report=lines.append)
    until(lambda: running(supervisor, "a") and running(supervisor, "other"))
    first = supervisor.process("a").pid
    with supervisor.held_down("a"):
        other = supervisor.process("other")
        other.kill()
        until(lambda: supervisor.process("other").pid != other.pid)  # the supervisor has been round
        assert supervisor.process("a").pid == first
        assert not running(supervisor, "a")
    until(lambda: running(supervisor, "a"))
    assert [line.split()[0] for line in lines] == ["other"]


def test_children_are_killed_when_their_parent_is_killed(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux kills children with their parent")
    parent = (
        "import sys, time\nfrom deploy.local.children import start_child\n"
        f"print(start_child([sys.executable, '-c', {FOREVER!r}]).pid, flush=True)\ntime.sleep(600)"
    )
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-c", parent], stdout=output, cwd=REPOSITORY)
    until(lambda: log.read_text().endswith("\n"))
    child = int(log.read_text())
    assert not gone(child)
    process.kill()
    process.wait()
    until(lambda: gone(child))


def test_pauses_grow_and_are_bounded() -> None:
    pauses = [pause_s(deaths) for deaths in range(1, 100)]
    assert pauses[:3] == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S]
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE_S


def test_the_end_of_a_process_is_told_in_words() -> None:
    assert how_it_ended(-9) == "was killed by SIGKILL"
    assert how_it_ended(1) == "ended with exit code 1"


def test_a_child_that_is_down_is_lacking_until_it_runs_again(supervise: Start) -> None:
    supervisor = supervise([Child("held", python(FOREVER))])
    until(lambda: running(supervisor, "held"))
    with supervisor.held_down("held"):
        assert supervisor.lacks() == "held is down"
    until(lambda: supervisor.lacks() is None)
    assert running(supervisor, "held")
