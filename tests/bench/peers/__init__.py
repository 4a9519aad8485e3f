"""Other ways to search the same rows: each behind one small interface, so that all stand in one table.

A peer is imported only when it is chosen; one that is not installed says so in one line. Each gets the rows, is filled
as its makers recommend, and is searched one probe a request by many clients at once (`clients`); `driver` sets its knob
and measures. `python -m tests.bench.peers` runs them one after another, each in a process of its own.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import socket
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from common.types import Vectors

Positions = NDArray[np.int64]
"""(n,) int64: places in the rows, or numbers of stores"""
POLL_S = 0.05
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
EFFORTS: Sequence[int] = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1000)
"""of graphs: the candidates kept while one is walked; 1000 is the most that pgvector takes"""


class Client(Protocol):
    """Sends one request, the next when the answer is there. Of one thread at a time, unless the peer is in process."""

    def search_all(self, probes: Vectors) -> Positions:
        """The most alike row of all, for each probe (n, d)."""
        ...

    def search_store(self, probes: Vectors, stores: Positions) -> Positions:
        """The most alike row of one store, for each probe (n, d) and its store (n,)."""
        ...

    def close(self) -> None: ...


class Peer(Protocol):
    """Called in this order: available, start, fill, fill_stores, use and client as often as wanted, close.

    `knob` can be set to one of `efforts`, ascending: slower and more often right; none: exact. `batch`: probes of a
    request. `in_process`: the peer searches inside the caller's process, many threads at once, and is its own client.
    """

    name: str
    knob: str
    efforts: Sequence[int]
    batch: int
    in_process: bool

    def available(self) -> str | None:
        """Why it cannot run here, in one line; None if it can."""
        ...

    def start(self) -> None:
        """Bring up what is filled; not part of the ingest."""
        ...

    def fill(self, rows: Vectors, stores: Positions) -> None:
        """Return once the rows (n, d) can be searched over all stores, and are on disk where the peer can do that."""
        ...

    def fill_stores(self, rows: Vectors, stores: Positions) -> None:
        """What searches of one store need beyond that; nothing for some."""
        ...

    def use(self, effort: int) -> None:
        """Set the knob, for clients made from now on."""
        ...

    def client(self) -> Client:
        """One more. Picklable where the peer is another process; it connects at its first search."""
        ...

    def close(self) -> None:
        """Leave nothing behind: no process, no file."""
        ...


class Ordinary:
    """What an exact peer in a process of its own, asked one probe a request, need not say. `folder` is its to use."""

    knob = ""
    efforts: Sequence[int] = ()
    batch = 1
    in_process = False

    def available(self) -> str | None:
        return None

    def start(self) -> None:
        """It is up, or needs nothing."""

    def fill_stores(self, rows: Vectors, stores: Positions) -> None:
        """The same serves both."""

    def use(self, effort: int) -> None:
        raise NotImplementedError(f"an exact peer has no knob to set to {effort}")

    @cached_property
    def _temporary(self) -> tempfile.TemporaryDirectory[str]:
        return tempfile.TemporaryDirectory()

    @property
    def folder(self) -> Path:
        """Made when it is first asked for: most peers are never chosen."""
        return Path(self._temporary.name)

    def close(self) -> None:
        self._temporary.cleanup()


def library(name: str) -> Any:
    """An optional library, without types: what is installed differs from machine to machine."""
    return importlib.import_module(name)


def lacking(*libraries: str) -> str | None:
    """Which of these libraries are not installed, as one line."""
    missing = [name for name in libraries if importlib.util.find_spec(name) is None]
    return f"not installed: {', '.join(missing)}" if missing else None


def by_store(stores: Positions) -> Iterator[tuple[int, Positions]]:
    """(store, places of its rows), in the order of the stores."""
    order = np.argsort(stores, kind="stable")
    numbers, starts = np.unique(stores[order], return_index=True)
    yield from zip(numbers.tolist(), np.split(order, starts[1:]), strict=True)


def batches(count: int, size: int) -> Iterator[slice]:
    yield from (slice(at, min(at + size, count)) for at in range(0, count, size))


def positions(found: Iterable[int]) -> Positions:
    return np.fromiter(found, dtype=np.int64)


def until_open(port: int) -> None:
    """Return once somebody listens on 127.0.0.1:port."""
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(POLL_S)
        else:
            return


def on_disk(path: Path) -> None:
    """Return once the file's bytes are on disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
