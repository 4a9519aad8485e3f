"""The files of the project, as a clone has them: nothing that make, the tests or a running cluster leaves behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import REPOSITORY

CODE = ("gateway", "shard", "common", "deploy")
LEFT_BEHIND = frozenset({"__pycache__", "build", "dist"})
HIDDEN_OURS = frozenset({".ci", ".gitignore", ".dockerignore", ".env.example"})


def project_files() -> Iterator[Path]:
    for folder, folders, names in os.walk(REPOSITORY):
        folders[:] = [name for name in folders if _ours(name) and not name.endswith(".egg-info")]
        yield from (Path(folder, name) for name in names if _ours(name))


def _ours(name: str) -> bool:
    return name in HIDDEN_OURS or not (name.startswith(".") or name in LEFT_BEHIND)


def modules(*packages: str) -> dict[str, str]:
    """Path relative to the repository, with slashes → source, of every Python module of the packages."""
    return {
        path.relative_to(REPOSITORY).as_posix(): path.read_text()
        for package in packages
        for path in sorted((REPOSITORY / package).rglob("*.py"))
    }


def text(name: str) -> str:
    return (REPOSITORY / name).read_text()


def table_rows(markdown: str) -> list[list[str]]:
    """The cells of every table row in a Markdown text, without surrounding blanks."""
    lines = (line.strip() for line in markdown.splitlines())
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
