"""Files that only their owner may read: faces, and what was learned from them. Written whole or not at all."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.errors import CannotTrain


def make_folder(folder: Path) -> None:
    """With its parents, 0700; one that is there keeps the rights that its owner chose."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)


def write(path: Path, content: bytes) -> None:
    """Replace the file in one step: whoever reads it, also after a power cut, sees the old content or the new."""
    partial = path.with_name(f"{path.name}.partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make the folder, and keep other runs out of it meanwhile. Raises CannotTrain if one is in it."""
    make_folder(folder)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotTrain(f"Another run is training in {folder}.", field="out") from None
        yield
