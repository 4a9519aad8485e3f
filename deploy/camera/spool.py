"""Sightings on disk until the gateway has them: a folder, one file a sighting, oldest first.

    DIR/lock                 who uses the folder: one agent at a time
    DIR/waiting/<time>-….msgpack   a sighting, written beside itself as .tmp, fsynced, renamed, and the folder fsynced
    DIR/rejected/….json      what the gateway will never take, and why; without photos

A file has its final name only once it is whole and on disk, and loses it only after the gateway's answer (or when the
limit is reached: the oldest is dropped, loudly). So a kill at any step loses nothing that `put` returned for; what was
being sent is sent again. Faces are biometric data: folders are 0700, files 0600.

Safe to use from several threads. Sightings are MessagePack, which says only what was written; never pickle.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
from bisect import insort
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any

import ormsgpack

from deploy.client.http import ClientError
from deploy.client.moment import as_text
from deploy.client.sightings import Shot, Sighting

LIMIT_BYTES = 1_000_000_000
SUFFIX, UNFINISHED = ".msgpack", ".tmp"
REJECTIONS_KEPT = 1000


class SpoolInUse(ClientError):
    """Another agent uses the folder."""


class Spool:
    """`limit_bytes` bounds the waiting sightings; `report` hears of what is lost, one sentence each."""

    def __init__(
        self, root: Path, limit_bytes: int = LIMIT_BYTES, report: Callable[[str], None] = lambda _: None
    ) -> None:
        self.root = root.absolute()
        self._waiting = self.root / "waiting"
        self._rejected = self.root / "rejected"
        self._limit = limit_bytes
        self._report = report
        self._sizes: dict[str, int] = {}
        self._names: list[str] = []
        self._sending = ""
        self.bytes = 0
        self.dropped = 0
        self.changed = threading.Condition()
        """notified whenever something was put in or taken out"""
        self._lock: IO[str] | None = None

    def open(self) -> None:
        """Claim the folder, creating it if missing, and find what was left there. Raises SpoolInUse, OSError."""
        for folder in (self.root, self._waiting, self._rejected):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._claim()
        for entry in sorted(self._waiting.iterdir()):
            if entry.suffix == SUFFIX:
                self._note(entry.name, entry.stat().st_size)
            else:
                entry.unlink()  # half written, so nobody was told that it is here

    def close(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _claim(self) -> None:
        descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        lock = os.fdopen(descriptor, "r+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = lock.read().strip() or "another process"
            lock.close()
            raise SpoolInUse(
                f"The spool {self.root} is in use by {owner}; give each camera its own --spool."
            ) from error
        lock.truncate(0)
        lock.write(f"process {os.getpid()}")
        lock.flush()
        self._lock = lock

    def __len__(self) -> int:
        return len(self._names)

    @property
    def full(self) -> bool:
        """True from nine tenths of the limit on: whoever can wait, waits."""
        return self.bytes > 0.9 * self._limit

    def put(self, sighting: Sighting) -> None:
        """On disk when it returns. Putting the same again changes nothing. Raises OSError."""
        content = pack(sighting)
        name = name_of(sighting)
        with self.changed:
            self._make_room(len(content) - self._sizes.get(name, 0))
            write_whole(self._waiting / name, content)
            self._note(name, len(content))
            self.changed.notify_all()

    def next(self, rank: Callable[[str], int] = lambda _: 0) -> tuple[str, Sighting] | None:
        """The oldest of the lowest rank, which is not dropped while it is the last one given; None if none waits."""
        while True:
            with self.changed:
                self._sending = min(self._names, key=lambda name: (rank(name), name), default="")
                name = self._sending
            if not name:
                return None
            try:
                return name, unpack((self._waiting / name).read_bytes())
            except (OSError, ValueError, TypeError, KeyError) as error:
                self._report(f"A sighting in the spool cannot be read any more ({type(error).__name__}).")
                self.reject(name, None, {"code": "UNREADABLE", "detail": "The spool's file is damaged."})

    def done(self, name: str) -> None:
        """The gateway has it."""
        with self.changed:
            self._remove(name)
            self._sending = ""
            self.changed.notify_all()

    def replace(self, name: str, others: Iterable[Sighting]) -> None:
        """Others stand for it from now on; a kill in between leaves both, which does no harm."""
        for other in others:
            self.put(other)
        self.done(name)

    def reject(self, name: str, sighting: Sighting | None, problem: Mapping[str, Any]) -> None:
        """Never to be sent again: what and why goes to `rejected`, the photos go."""
        about = {} if sighting is None else described(sighting)
        path = self._rejected / f"{name.removesuffix(SUFFIX)}.json"
        write_whole(path, json.dumps(about | {"problem": dict(problem)}, indent=1).encode())
        for old in sorted(self._rejected.glob("*.json"))[:-REJECTIONS_KEPT]:
            old.unlink(missing_ok=True)
        self.done(name)

    def _make_room(self, size: int) -> None:
        droppable = [name for name in self._names if name != self._sending]
        while self.bytes + size > self._limit and droppable:
            oldest = droppable.pop(0)
            self._remove(oldest)
            self.dropped += 1
            moment = as_text(int(oldest.partition("-")[0]))
            self._report(f"The spool is full ({self._limit:,} bytes): the sighting of {moment} is lost.")

    def _note(self, name: str, size: int) -> None:
        if name not in self._sizes:
            insort(self._names, name)
        self.bytes += size - self._sizes.get(name, 0)
        self._sizes[name] = size

    def _remove(self, name: str) -> None:
        if name in self._sizes:
            self._names.remove(name)
            self.bytes -= self._sizes.pop(name)
        (self._waiting / name).unlink(missing_ok=True)


def name_of(sighting: Sighting) -> str:
    """Sorts by time; the same sighting has the same name, so making one again does not double it."""
    return f"{max(0, sighting.at_ms):014d}-{sighting.track}.{sighting.part}{SUFFIX}"


def described(sighting: Sighting) -> dict[str, Any]:
    """All of it but the photos."""
    return {
        "store": sighting.store,
        "camera": sighting.camera,
        "track": sighting.track,
        "at": as_text(sighting.at_ms),
        "photos": len(sighting.shots),
    }


def pack(sighting: Sighting) -> bytes:
    shots = [[shot.at_ms, shot.jpeg] for shot in sighting.shots]
    return ormsgpack.packb(
        {
            "store": sighting.store,
            "camera": sighting.camera,
            "track": sighting.track,
            "at_ms": sighting.at_ms,
            "part": sighting.part,
            "shots": shots,
        }
    )


def unpack(content: bytes) -> Sighting:
    """Raises ValueError, TypeError or KeyError for what `pack` did not write."""
    body: Any = ormsgpack.unpackb(content)
    shots = tuple(Shot(bytes(jpeg), int(at_ms)) for at_ms, jpeg in body["shots"])
    store, camera, track = (str(body[field]) for field in ("store", "camera", "track"))
    return Sighting(store, camera, track, int(body["at_ms"]), shots, int(body["part"]))


def write_whole(path: Path, content: bytes) -> None:
    """The file is there whole or not at all, and on disk when this returns. Raises OSError, leaving nothing behind."""
    unfinished = path.with_name(path.name + UNFINISHED)
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            remaining = memoryview(content)
            while remaining:
                remaining = remaining[file.write(remaining) :]
            os.fsync(file.fileno())
        os.replace(unfinished, path)  # noqa: PTH105  # one name for each step, see the tests
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
