"""`faiss-rpc`: Faiss behind the least of a server that would do, MessagePack over TCP. Ours, a yardstick; no product.

It stands in for distributed-faiss, which pip does not find, and does what that does: one server process a core, each
with a part of the rows; a client asks all of them and keeps the best, or for one store the server that has it. What it
leaves out would only cost time: no pickle, no lock around a search, no thread between the client and its sockets.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import socket
import struct
import threading
from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import ormsgpack

from common.types import DLIB_DIMENSION, Vectors
from tests.bench.peers import CORES, Ordinary, Positions, batches, by_store, on_disk, positions
from tests.bench.peers.faiss_flat import flat

BATCH = 10_000
TRAINED_WITH = 64
"""rows for each list of the index; Faiss asks for 39 at least"""
LENGTH = struct.Struct("<I")


class FaissRpc(Ordinary):
    """`spec`: Faiss's factory string of a server's index, {lists} being their number; `knob`: its parameter."""

    def __init__(self, name: str, spec: str, knob: str, efforts: Sequence[int]) -> None:
        self.name, self.knob, self.efforts = name, knob, efforts
        self._spec = spec
        self._servers: list[tuple[BaseProcess, Connection]] = []
        self._ports: list[int] = []

    def fill(self, rows: Vectors, stores: Positions) -> None:
        client = self.client()
        for nth in range(CORES):
            mine = np.flatnonzero(stores % CORES == nth)
            for batch in batches(len(mine), BATCH):
                client.tell(nth, {"do": "add", "rows": rows[mine[batch]].tobytes(), "places": mine[batch].tobytes()})
        client.tell_all({"do": "build", "spec": self._spec})
        client.close()

    def fill_stores(self, rows: Vectors, stores: Positions) -> None:  # noqa: ARG002  # they have the rows
        client = self.client()
        for nth in range(CORES):
            client.tell(nth, {"do": "stores", "stores": stores[stores % CORES == nth].tobytes()})
        client.close()

    def start(self) -> None:
        context = multiprocessing.get_context("spawn")
        for nth in range(CORES):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, str(self.folder), nth), daemon=True)
            process.start()
            theirs.close()
            self._servers.append((process, ours))
            self._ports.append(ours.recv())

    def use(self, effort: int) -> None:
        client = self.client()
        client.tell_all({"do": "set", "knob": self.knob, "effort": effort})
        client.close()

    def client(self) -> RpcClient:
        return RpcClient(self._ports)

    def close(self) -> None:
        for process, connection in self._servers:
            connection.close()
            process.join()
        super().close()


class RpcClient:
    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = list(ports)
        self._sockets: list[socket.socket] = []

    def _connected(self) -> list[socket.socket]:
        if not self._sockets:
            self._sockets = [socket.create_connection(("127.0.0.1", port)) for port in self._ports]
            for each in self._sockets:
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._sockets

    def tell(self, server: int, message: dict[str, object]) -> Any:
        connection = self._connected()[server]
        send(connection, message)
        return receive(connection)

    def tell_all(self, message: dict[str, object]) -> list[Any]:
        """All are sent before the first answer is read, so that the servers work at the same time."""
        for connection in self._connected():
            send(connection, message)
        return [receive(connection) for connection in self._sockets]

    def search_all(self, probes: Vectors) -> Positions:
        return positions(self._best(probe) for probe in probes)

    def _best(self, probe: Vectors) -> int:
        found = self.tell_all({"do": "search", "probe": probe.tobytes()})
        return int(min(found)[1])

    def search_store(self, probes: Vectors, stores: Positions) -> Positions:
        return positions(self._at_home(*each) for each in zip(probes, stores.tolist(), strict=True))

    def _at_home(self, probe: Vectors, store: int) -> int:
        answer = self.tell(store % len(self._ports), {"do": "search", "probe": probe.tobytes(), "store": store})
        return int(answer[1])

    def close(self) -> None:
        for each in self._sockets:
            each.close()


def send(connection: socket.socket, message: object) -> None:
    body = ormsgpack.packb(message)
    connection.sendall(LENGTH.pack(len(body)) + body)


def receive(connection: socket.socket) -> Any:
    """The next message. Raises EOFError where there is none."""
    (length,) = LENGTH.unpack(_exactly(connection, LENGTH.size))
    return ormsgpack.unpackb(_exactly(connection, length))


def _exactly(connection: socket.socket, size: int) -> bytes:
    parts = []
    while size:
        part = connection.recv(size)
        if not part:
            raise EOFError("the connection was closed")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _serve(parent: Connection, folder: str, nth: int) -> None:
    """A thread a connection; Faiss lets others run while it searches. Until the parent closes its end, or is dead."""
    part = Part(Path(folder) / f"{nth}.faiss")
    with socket.create_server(("127.0.0.1", 0)) as server:
        parent.send(server.getsockname()[1])
        threading.Thread(target=_accept, args=(part, server), daemon=True).start()
        with contextlib.suppress(EOFError):
            parent.recv()


def _accept(part: Part, server: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the process ends, and has closed its socket
        while True:
            connection, _ = server.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_answer, args=(part, connection), daemon=True).start()


def _answer(part: Part, connection: socket.socket) -> None:
    faiss.omp_set_num_threads(1)  # holds for this thread: a server is a core
    with connection, contextlib.suppress(EOFError):
        while True:
            message = receive(connection)
            send(connection, getattr(part, message.pop("do"))(**message))


def lists_for(rows: int) -> int:
    """Inverted lists of so many rows: the power of two nearest to 4 sqrt(rows), as Faiss's guide to indexes has it."""
    return 1 << round(math.log2(4 * math.sqrt(rows)))


class Part:
    """What one server has: its rows, the index over all of them, and a flat one for each store."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._rows: list[Vectors] = []
        self._places: list[Positions] = []
        self._index: faiss.Index = faiss.IndexFlatIP(DLIB_DIMENSION)
        self._stores: dict[int, tuple[faiss.Index, Positions]] = {}

    def add(self, rows: bytes, places: bytes) -> None:
        self._rows.append(np.frombuffer(rows, dtype=np.float32).reshape(-1, DLIB_DIMENSION))
        self._places.append(np.frombuffer(places, dtype=np.int64))

    def build(self, spec: str) -> None:
        """By distance: of unit rows the nearest is the most alike, and codes of the inner product are far worse."""
        rows = np.concatenate(self._rows)
        self._places = [np.concatenate(self._places)]
        lists = lists_for(len(rows))
        index = faiss.index_factory(DLIB_DIMENSION, spec.format(lists=lists), faiss.METRIC_L2)
        index.train(rows[: TRAINED_WITH * lists])
        index.add(rows)
        faiss.write_index(index, str(self._file))
        on_disk(self._file)
        self._rows, self._index = [rows], index

    def stores(self, stores: bytes) -> None:
        for store, mine in by_store(np.frombuffer(stores, dtype=np.int64)):
            self._stores[store] = flat(self._rows[0][mine]), self._places[0][mine]

    def set(self, knob: str, effort: int) -> None:
        faiss.ParameterSpace().set_index_parameter(self._index, knob, effort)

    def search(self, probe: bytes, store: int | None = None) -> tuple[float, int]:
        """(squared distance, place in all rows) of the nearest; in a store (score, place)."""
        index, places = (self._index, self._places[0]) if store is None else self._stores[store]
        distances, found = index.search(np.frombuffer(probe, dtype=np.float32)[None], 1)
        return float(distances[0, 0]), int(places[found[0, 0]])
