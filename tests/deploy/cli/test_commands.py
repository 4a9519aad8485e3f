"""The command line where no gateway is: help, usage errors, friendly failures. Working commands: tests/cluster."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.cli.app import app
from deploy.cli.cluster import signals, where
from deploy.cli.options import NEXT_STEP
from deploy.local.cluster import LocalCluster
from deploy.local.data_folder import DataFolder
from deploy.local.embedded_redis import free_port
from tests.conftest import REPOSITORY
from tests.rules.test_errors import classes

COMMANDS = [
    "up",
    "gateway",
    "shard",
    "stores",
    "shards",
    "move",
    "rebalance",
    "drain",
    "enrol",
    "import",
    "export",
    "search",
    "verify",
    "camera",
    "member",
    "encoders",
    "calibrate",
    "train",
    "migrate",
    "evaluate",
    "pairs",
    "demo",
    "watch",
    "footfall",
]


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


def facegrid(*arguments: str) -> Ended:
    done = CliRunner().invoke(app, list(arguments), env={"FACEGRID_URL": "", "FACEGRID_KEY": "", "COLUMNS": "80"})
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return Ended(done.exit_code, done.stdout, done.stderr)


@pytest.fixture
def nobody() -> str:
    """A URL where no gateway is."""
    return f"http://127.0.0.1:{free_port()}"


@pytest.fixture
def photo(tmp_path: Path) -> str:
    path = tmp_path / "ada_1.jpg"
    path.write_bytes(b"pixels")
    return str(path)


def test_the_help_says_how_to_begin_and_lists_every_command() -> None:
    shown = facegrid("--help")
    assert shown.code == 0
    assert "First steps" in shown.out
    assert all(command in shown.out for command in COMMANDS)
    assert max(map(len, shown.out.splitlines())) <= 80
    assert {command.name or command.callback.__name__ for command in app.registered_commands if command.callback} | {
        group.name for group in app.registered_groups
    } == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    shown = facegrid(command, "--help")
    assert shown.code == 0
    assert "Usage" in shown.out


def test_no_command_at_all_shows_the_help_and_the_version_is_one_line() -> None:
    assert "First steps" in facegrid().out
    assert facegrid("--version").out.startswith("facegrid ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["serve"],
        ["search"],
        ["search", "no-such-file.jpg", "--store", "vienna"],
        ["search", "{photo}", "--store", "vienna", "--top-k", "0"],
        ["search", "{photo}", "--store", "vienna", "--top-k", "101"],
        ["search", "{photo}", "--store", "vienna", "--scope", "world"],
        ["search", "{photo}", "--store", "a/b"],
        ["search", "{photo}", "--store", "vienna", "--url", "localhost:8000"],
        ["enrol", "vienna"],
        ["enrol", "ö", "{photo}"],
        ["enrol", "vienna", "{photo}", "--first", "0"],
        ["enrol", "vienna", "{photo}", "--kind", "king"],
        ["verify", "{photo}"],
        ["verify", "{photo}", "--store", "vienna"],
        ["verify", "{photo}", "{photo}", "--store", "vienna", "--face", "ada"],
        ["verify", "{photo}", "{photo}", "--fmr", "0"],
        ["stores", "add", "a b"],
        ["up", "--port", "70000"],
        ["up", "--shards", "0"],
        ["up", "--redis", "localhost:6379"],
        ["gateway", "--redis", "http://localhost"],
        ["member", "put", "c-1"],
        ["member", "put", "c 1", "--name", "Ada"],
        ["member", "put", "c-1", "--name", "Ada", "--attribute", "language"],
        ["member", "put", "c-1", "--name", "Ada", "--attribute", "a=1", "--attribute", "a=2"],
        ["member", "put", "c-1", "--name", "Ada", "--attribute", "a b=1"],
        ["member", "bind", "c-1", "vienna"],
        ["stores", "--url", "http://"],
        ["stores", "--key", "schlüssel"],
        ["evaluate", "{folder}", "--json", "{folder}/none/x.json"],
        ["demo", "--shards", "1"],
        ["stores", "--url", "http://127.0.0.1:1", "remove", "vienna", "--force"],
        ["stores", "--key", "secret", "add", "vienna"],
        ["encoders", "--models", "{folder}", "check", "{photo}"],
    ],
)
def test_a_command_called_wrongly_ends_with_2_and_says_why(arguments: list[str], photo: str) -> None:
    folder = str(Path(photo).parent)
    ended = facegrid(*(argument.replace("{photo}", photo).replace("{folder}", folder) for argument in arguments))
    assert ended.code == 2
    assert "Error" in ended.err


def test_an_option_that_would_not_reach_the_command_is_named() -> None:
    ended = facegrid("stores", "--url", "http://127.0.0.1:1", "remove", "vienna", "--force")
    assert "--url" in ended.err
    assert "Give it after `remove`, not before." in ended.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["encoders"],
        ["encoders", "check", "{photo}"],
        ["calibrate", "{folder}"],
        ["camera", "vienna", "--folder", "{folder}"],
    ],
)
def test_a_setting_that_cannot_be_one_is_said_in_a_line(
    arguments: list[str], photo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEGRID_DETECTION", "foo")
    monkeypatch.chdir(Path(photo).parent)
    ended = facegrid(*(a.replace("{photo}", photo).replace("{folder}", str(Path(photo).parent)) for a in arguments))
    assert ended.code == 2
    assert ended.err == "error: FACEGRID_DETECTION: Input should be 'fast', 'standard' or 'thorough'.\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["stores"],
        ["stores", "add", "vienna"],
        ["stores", "remove", "vienna"],
        ["shards"],
        ["member", "list"],
        ["enrol", "vienna", "{photo}"],
        ["search", "{photo}", "--store", "vienna"],
        ["verify", "{photo}", "{photo}"],
        ["evaluate", "{folder}"],
    ],
)
def test_a_gateway_that_is_away_is_said_with_the_next_step(arguments: list[str], nobody: str, photo: str) -> None:
    filled = [a.replace("{photo}", photo).replace("{folder}", str(Path(photo).parent)) for a in arguments]
    ended = facegrid(*filled, "--url", nobody)
    assert ended.code == 1
    assert f"error: No gateway answers at {nobody}." in ended.err
    assert "facegrid up" in ended.err
    assert "Traceback" not in ended.err


def test_a_folder_without_photos_is_said_before_anything_is_asked(tmp_path: Path, nobody: str) -> None:
    (tmp_path / "notes.txt").touch()
    ended = facegrid("enrol", "vienna", str(tmp_path), "--url", nobody)
    assert ended.code == 1
    assert "not a photo (.txt)" in ended.out
    assert "no photo to enrol" in ended.err


def test_up_on_a_taken_port_says_so_and_starts_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ended = facegrid("up", "--port", str(listener.getsockname()[1]), "--data", str(tmp_path / "data"))
    assert ended.code == 1
    assert "cannot be used" in ended.err
    assert "--port" in ended.err
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("port", "keys", "expected"),
    [
        (8000, "", ""),
        (9000, "", " --url http://127.0.0.1:9000"),
        (9000, "secret,other", " --url http://127.0.0.1:9000 --key KEY"),
    ],
)
def test_the_next_command_reaches_the_cluster_that_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, port: int, keys: str, expected: str
) -> None:
    monkeypatch.setenv("FACEGRID_API_KEYS", keys)
    assert where(LocalCluster(tmp_path, port=port)) == expected


def test_up_on_a_folder_in_use_says_by_whom(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.lock("the cluster at http://127.0.0.1:8000, process 1")
    ended = facegrid("up", "--port", str(free_port()), "--data", str(tmp_path))
    folder.unlock()
    assert ended.code == 1
    assert "is in use by the cluster at http://127.0.0.1:8000, process 1." in ended.err
    assert "--data" in ended.err


def test_the_advice_belongs_to_codes_that_exist() -> None:
    assert NEXT_STEP.keys() - {error.code for error in classes()} == set()


def test_a_data_folder_that_cannot_be_made_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = facegrid("up", "--port", str(free_port()), "--data", str(tmp_path / "file" / "data"))
    assert ended.code == 1
    assert ended.err.splitlines() == [f"error: {tmp_path / 'file'}: File exists."]


def test_a_link_that_leads_to_itself_and_a_name_that_is_no_text_are_photos_like_others(
    tmp_path: Path, nobody: str
) -> None:
    (tmp_path / "loop_1.jpg").symlink_to("loop_1.jpg")
    (tmp_path / os.fsdecode(b"caf\xe9_1.jpg")).touch()
    assert "No gateway answers" in facegrid("enrol", "vienna", str(tmp_path), "--url", nobody).err


def test_signals_are_noted_unless_they_were_switched_off_and_a_second_hang_up_is_harmless() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals() as asked_to_end:  # as under nohup
            signal.raise_signal(signal.SIGHUP)
            assert not asked_to_end.is_set()
            signal.raise_signal(signal.SIGTERM)
            assert asked_to_end.is_set()
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        with signals() as asked_to_end:
            signal.raise_signal(signal.SIGHUP)
            signal.raise_signal(signal.SIGHUP)
            assert asked_to_end.is_set()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_what_is_piped_has_no_control_characters() -> None:
    for arguments in (["--help"], ["stores"]):
        command = [
            sys.executable,
            "-m",
            "deploy.cli",
            *arguments,
            *(["--url", "http://127.0.0.1:9"] * (len(arguments) - 1)),
        ]
        done = subprocess.run(command, capture_output=True, check=False, cwd=REPOSITORY)
        assert b"\x1b" not in done.stdout + done.stderr
