"""A load generator that costs little: prepared requests over kept connections, answers read by their length.

An HTTP library would be busier than the servers it measures (httpx: about 1,000 requests a second a core).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measured:
    per_second: float
    p50_ms: float
    p99_ms: float
    failures: int
    answer: bytes
    """the body of the last answer"""
    max_ms: float = 0.0


def request(path: str, body: bytes, content_type: str = "application/octet-stream") -> bytes:
    headers = f"Host: localhost\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}"
    return f"POST {path} HTTP/1.1\r\n{headers}\r\n\r\n".encode() + body


async def load(port: int, requests: Sequence[bytes], clients: int, expected: bytes = b"") -> Measured:
    """Send every request once, from `clients` connections that each wait for their answer. A failure is an answer of
    another status than 2xx, or without the `expected` bytes in it."""
    waiting = iter(requests)
    times: list[float] = []
    failures = 0
    last = b""

    async def client() -> None:
        nonlocal failures, last
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for prepared in waiting:
            started = time.perf_counter()
            writer.write(prepared)
            head = await reader.readuntil(b"\r\n\r\n")
            last = await reader.readexactly(_length(head))
            times.append(time.perf_counter() - started)
            failures += not head.startswith(b"HTTP/1.1 2") or expected not in last
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    took = time.perf_counter() - started
    times.sort()
    p50, p99 = (1000 * times[int(len(times) * share)] for share in (0.5, 0.99))
    return Measured(len(times) / took, p50, p99, failures, last, 1000 * times[-1])


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise ValueError("an answer without a length")
