"""The process that `load` starts: reads what to send from standard input, sends it, writes what it measured.

Plain blocking sockets under one `select`: 30 microseconds a request, as uvloop needs, and unlike the timers of
asyncio, uvloop and epoll, which count milliseconds, its timeouts are exact enough for an open loop.
"""

from __future__ import annotations

import json
import random
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from math import inf

CHUNK = 1 << 16
"""read at once; the room for four times as much is asked of the system for every answer, which takes 13 microseconds"""
OK = b"HTTP/1.1 2"


class Connection:
    """One kept connection with at most one request under way."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.due = 0.0
        """when the request under way was to be sent, `time.perf_counter()`"""
        self._open()

    def _open(self) -> None:
        self._socket = socket.create_connection(("127.0.0.1", self._port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.number = self._socket.fileno()
        self._read = b""

    def send(self, prepared: bytes, due: float) -> None:
        self.due = due
        self._socket.sendall(prepared)

    def receive(self) -> bytes | None:
        """Read what is there: the whole answer, None if more of it is to come. Empty if the connection was closed; it
        is opened again then."""
        try:
            more = self._socket.recv(CHUNK)
        except ConnectionError:
            more = b""
        if not more:
            self._socket.close()
            self._open()
            return b""
        if self._read:
            more = self._read + more
        if len(more) < length(more):
            self._read = more
            return None
        self._read = b""
        return more


def length(answer: bytes) -> float:
    """Bytes of the answer that begins so; infinite while its head is not complete."""
    end = answer.find(b"\r\n\r\n")
    if end < 0:
        return inf
    at = answer.find(b"content-length: ", 0, end)
    if at < 0:
        at = answer[:end].lower().find(b"content-length: ")
        if at < 0:
            raise ValueError("an answer without a length")
    return end + 4 + int(answer[at + 16 : answer.index(b"\r\n", at)])


class Run:
    """All the connections, and what their answers were."""

    def __init__(self, port: int, clients: int, expected: bytes, times: int) -> None:
        self._idle = [Connection(port) for _ in range(clients)]
        self._busy: dict[int, Connection] = {}
        self._expected, self._times = expected, times
        self.seconds: list[float] = []
        self.failures = 0
        self.last = b""

    def closed(self, prepared: Iterator[bytes], until: float) -> None:
        """Each connection sends its next request as soon as it has the answer to the one before."""
        while True:
            while self._idle and time.perf_counter() < until and (each := next(prepared, None)) is not None:
                self._send(each, time.perf_counter())
            if not self._busy:
                return
            self._wait(None)

    def open(self, prepared: Iterator[bytes], rate: float, until: float) -> None:
        """Requests are due at random moments (a Poisson process); one that finds no idle connection waits for one."""
        dice, due = random.Random(0), time.perf_counter()
        waiting: deque[tuple[bytes, float]] = deque()
        upcoming = next(prepared, None)
        while upcoming is not None or waiting or self._busy:
            now = time.perf_counter()
            while upcoming is not None and due <= now:
                waiting.append((upcoming, due))
                due += dice.expovariate(rate)
                upcoming = next(prepared, None) if due < until else None
            while waiting and self._idle:
                self._send(*waiting.popleft())
            self._wait(None if upcoming is None else max(0.0, due - time.perf_counter()))

    def _send(self, prepared: bytes, due: float) -> None:
        connection = self._idle.pop()
        connection.send(prepared, due)
        self._busy[connection.number] = connection

    def _wait(self, seconds: float | None) -> None:
        readable, _, _ = select.select([*self._busy], [], [], seconds)
        now = time.perf_counter()
        for number in readable:
            answer = self._busy[number].receive()
            if answer is not None:
                self._note(self._busy.pop(number), answer, now)

    def _note(self, connection: Connection, answer: bytes, now: float) -> None:
        self._idle.append(connection)
        self.seconds.append(now - connection.due)
        good = answer.startswith(OK) and (not self._expected or answer.count(self._expected) >= self._times)
        if self.failures == 0:
            self.last = answer
        self.failures += not good


def cut(blob: bytes, lengths: Sequence[int]) -> Iterator[bytes]:
    at = 0
    for size in lengths:
        yield blob[at : at + size]
        at += size


def main() -> None:
    what = json.loads(sys.stdin.buffer.readline())
    requests = list(cut(sys.stdin.buffer.read(), what["lengths"]))
    run = Run(what["port"], what["clients"], bytes.fromhex(what["expected"]), what["times"])
    started, cpu = time.perf_counter(), time.process_time()
    until = inf if what["seconds"] is None else started + what["seconds"]
    prepared = islice(requests, None) if what["seconds"] is None else cycle(requests)
    if what["rate"] is None:
        run.closed(prepared, until)
    else:
        run.open(prepared, what["rate"], until)
    took, cpu = time.perf_counter() - started, time.process_time() - cpu
    run.seconds.sort()
    p50, p99 = (1000 * run.seconds[int(len(run.seconds) * share)] for share in (0.5, 0.99))
    told = {
        "per_second": len(run.seconds) / took,
        "p50_ms": p50,
        "p99_ms": p99,
        "failures": run.failures,
        "answer": run.last.partition(b"\r\n\r\n")[2].hex(),
        "max_ms": 1000 * run.seconds[-1],
        "cpu_us": 1e6 * cpu / len(run.seconds),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
