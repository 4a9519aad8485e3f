"""The folder of a local cluster: who may use it, and where its parts lie. One cluster at a time."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

LOG_BYTES = 10_000_000


class DataInUse(Exception):
    """Another local cluster runs on the folder."""


class DataFolder:
    """`root`/redis: the append-only file, the only thing that must survive. `root`/logs: one file a process.

    What is made here is private to its owner: it holds biometric data.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.redis = self.root / "redis"
        self.logs = self.root / "logs"
        self._lock_file = self.root / "lock"
        self._lock: IO[str] | None = None

    def lock(self, owner: str) -> int:
        """Claim the folder, creating it if missing, and return the lock's file descriptor.

        Hand that to the server's process: the folder then counts as used until that is gone too. Raises DataInUse,
        which repeats what its user passed as `owner`.
        """
        self.root.parent.mkdir(parents=True, exist_ok=True)
        for folder in (self.root, self.redis, self.logs):
            folder.mkdir(mode=0o700, exist_ok=True)  # one that is there keeps the rights that its owner chose
        lock = self._lock_file.open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            user = lock.read().strip() or "another process"
            lock.close()
            raise DataInUse(f"{self.root} is in use by {user}.") from error
        lock.truncate(0)
        lock.write(owner)
        lock.flush()
        self._lock = lock
        return lock.fileno()

    def is_ours(self) -> bool:
        """True while the locked folder is still the one at this path."""
        try:
            same = self._lock is not None and os.path.samestat(os.fstat(self._lock.fileno()), self._lock_file.stat())
            return same and self.redis.is_dir()
        except OSError:
            return False

    def unlock(self) -> None:
        """Give the folder back, once no process uses it any more."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def log_of(self, name: str) -> Path:
        return self.logs / f"{name.replace('/', '-')}.log"

    def open_log(self, name: str) -> IO[bytes]:
        """The log of a process, to append to; a log that grew large is moved aside first, replacing an older one."""
        path = self.log_of(name)
        if path.exists() and path.stat().st_size > LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab", buffering=0)

    def end_of_log(self, name: str, lines: int = 5) -> str:
        """Its last lines, for an error message."""
        path = self.log_of(name)
        if not path.exists():
            return ""
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - 4000))
            return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])
