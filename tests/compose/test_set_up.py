"""The scripts behind `make setup` and `make up`, without a network or an engine."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from deploy.healthcheck import answers
from tests.conftest import REPOSITORY

SECRETS = {"FACEGRID_API_KEYS", "FACEGRID_CLUSTER_KEY", "FACEGRID_REDIS_PASSWORD"}
SHELL = shutil.which("sh") or "sh"


def script(
    name: str, *, given: str = "", path: Path | None = None, python: str = ""
) -> subprocess.CompletedProcess[str]:
    env = {"PATH": str(path)} if path else None
    if env is not None and python:
        env["PYTHON"] = python
    return subprocess.run(
        [SHELL, str(REPOSITORY / "deploy" / name)], input=given, env=env, capture_output=True, text=True, check=False
    )


def settings(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if line and not line.startswith("#"))


def fake_python(folder: Path, name: str, statement: str) -> None:
    """A python in `folder` that runs the statement before whatever it is asked to run."""
    wrapper = f'#!{SHELL}\nexec "{sys.executable}" -c "{statement}; exec(\'$2\')"\n'
    (folder / name).write_text(wrapper)
    (folder / name).chmod(0o755)


def test_every_secret_is_made_anew_and_nothing_else_is_changed() -> None:
    example = (REPOSITORY / ".env.example").read_text()
    first, second = (settings(script("make-env.sh", given=example).stdout) for _ in range(2))
    made = [settings_[name] for settings_ in (first, second) for name in sorted(SECRETS)]
    assert len(set(made)) == 2 * len(SECRETS)
    assert all(re.fullmatch(r"[0-9a-f]{48}", secret) for secret in made)
    assert {**first, **dict.fromkeys(SECRETS, "")} == settings(example)


def test_a_secret_that_is_set_is_kept() -> None:
    assert script("make-env.sh", given="FACEGRID_API_KEYS=mine\n").stdout == "FACEGRID_API_KEYS=mine\n"


def test_a_python_that_is_new_enough_is_found_behind_one_that_is_not(tmp_path: Path) -> None:
    fake_python(tmp_path, "python3", "import sys; sys.version_info = (3, 9)")
    fake_python(tmp_path, "python3.12", "pass")
    assert script("find-python.sh", path=tmp_path).stdout == "python3.12\n"


def test_the_python_that_was_named_comes_first(tmp_path: Path) -> None:
    fake_python(tmp_path, "python3", "pass")
    fake_python(tmp_path, "mine", "pass")
    assert script("find-python.sh", path=tmp_path, python=str(tmp_path / "mine")).stdout == f"{tmp_path}/mine\n"


@pytest.mark.parametrize(
    ("statement", "advice"),
    [
        ("import sys; sys.version_info = (3, 9)", "needs Python 3.11 or later"),
        ("import sys; sys.modules['ensurepip'] = None", "apt install python3-venv"),
    ],
)
def test_without_a_usable_python_the_message_says_what_to_do(tmp_path: Path, statement: str, advice: str) -> None:
    fake_python(tmp_path, "python3", statement)
    done = script("find-python.sh", path=tmp_path)
    assert done.returncode == 1
    assert advice in done.stderr


def test_make_alone_lists_the_targets() -> None:
    command = ["make", "--no-print-directory"]
    listed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    assert [line.split()[:2] for line in listed.splitlines()][:3] == [
        ["make", "help"],
        ["make", "setup"],
        ["make", "demo"],
    ]


class Answering(BaseHTTPRequestHandler):
    """A service that lives but is not ready."""

    def do_GET(self) -> None:  # the name that http.server calls
        self.send_response(HTTPStatus.OK if self.path == "/healthz" else HTTPStatus.SERVICE_UNAVAILABLE)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.mark.parametrize(("path", "expected"), [("/healthz", True), ("/readyz", False)])
def test_a_service_answers_only_with_200(path: str, expected: bool) -> None:
    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        port = server.server_port
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        assert answers(port, path) is expected
        thread.join()
    assert answers(port, path) is False
