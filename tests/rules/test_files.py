"""What no file of the project may say, and what files that speak of each other must agree on."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.rules.files import CODE, modules, project_files, text

LOCKS = ("requirements.lock", "deploy/requirements.lock")
MAX_LINES = 300
# Put together here, for this file must not name one either.
MACHINE_PATHS = re.compile("|".join(rf"(?<![\w.])/{folder}/" for folder in ("work", "home", "root")))
ADDRESS = re.compile(r"://|^\s*--?(i|f|index-url|extra-index-url|find-links|trusted-host)\b| @ ", re.MULTILINE)
PIN = re.compile(r"^(?P<name>[a-z0-9-]+)==(?P<version>[^ ;\\]+)", re.MULTILINE)


def naming_machine_paths(files: Iterable[tuple[str, str]]) -> list[str]:
    return [f"{name}: {match[0]}" for name, content in files for match in MACHINE_PATHS.finditer(content)]


def readable(path: Path) -> str:
    return path.read_text(errors="replace")


def pins(lock: str) -> set[tuple[str, str]]:
    return {(match["name"], match["version"]) for match in PIN.finditer(lock)}


def unhashed(lock: str) -> list[str]:
    """Names of the pins that are not followed by a hash."""
    blocks = re.split(r"^(?=[a-z0-9])", lock, flags=re.MULTILINE)
    return [block.partition("==")[0] for block in blocks if block.strip() and "--hash=sha256:" not in block]


def make_targets_in(markdown: str) -> set[str]:
    """Targets in code: `make x` between backticks, or at the start of a line of a fenced block."""
    return set(re.findall(r"`make ([a-z]+)", markdown)) | set(
        re.findall(r"^(?:\$ )?make ([a-z]+)", markdown, re.MULTILINE)
    )


def test_no_file_names_a_path_of_one_machine() -> None:
    files = [(str(path.relative_to(REPOSITORY)), readable(path)) for path in project_files()]
    assert {"Makefile", ".ci/run", "tests/rules/test_files.py"} <= {name for name, _ in files}
    assert naming_machine_paths(files) == []


def test_a_path_of_one_machine_is_found() -> None:
    path = "/".join(["", "work", "main"])
    assert naming_machine_paths([("a.py", f"x = '{path}'"), ("b.py", "a/work/b, tests/work/")]) == [
        "a.py: " + path.removesuffix("main")
    ]


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_address_and_hashes_everything(lock: str) -> None:
    assert ADDRESS.search(text(lock)) is None
    assert len(pins(text(lock))) > 30
    assert unhashed(text(lock)) == []


def test_an_address_or_a_missing_hash_in_a_lock_is_found() -> None:
    for line in ("--index-url x", "-i x", "--find-links dir", "a @ b", "a==1 # from " + ":".join(["x", "//y"])):
        assert ADDRESS.search(f"a==1\n{line}\n"), line
    assert unhashed("a==1 \\\n    --hash=sha256:00\nb==2\n    # via a\n") == ["b"]


def test_the_container_gets_the_versions_that_are_tested() -> None:
    tested, shipped = (pins(text(lock)) for lock in LOCKS)
    assert shipped - tested == set()


def test_every_make_target_in_the_readme_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", text("Makefile"), re.MULTILINE))
    assert {"setup", "demo", "test"} <= targets
    assert make_targets_in(text("README.md")) - targets == set()


def test_a_make_target_is_recognised_in_code_only() -> None:
    assert make_targets_in("`make up`, make sure\n```\nmake demo  # x\n```\nwe make it") == {"up", "demo"}


def test_no_module_has_grown_too_long() -> None:
    lengths = {path: source.count("\n") for path, source in modules(*CODE).items()}
    lengths.pop("common/errors.py")  # one tree in one file, two lines an error: see its own rules
    assert {path: lines for path, lines in lengths.items() if lines > MAX_LINES} == {}
