"""A load generator that costs little: prepared requests over kept connections, sent by a process of its own.

An HTTP library would be busier than the servers it measures (httpx: about 1,000 requests a second a core), and a
generator inside the measuring process would wait for that one's other work. `load_process` is what sends.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measured:
    per_second: float
    p50_ms: float
    p99_ms: float
    failures: int
    answer: bytes
    """the body of the last answer; of the first failure, if there was one"""
    max_ms: float = 0.0
    cpu_us: float = 0.0
    """CPU microseconds of the generator a request"""


def request(path: str, body: bytes, content_type: str = "application/octet-stream") -> bytes:
    headers = f"Host: localhost\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}"
    return f"POST {path} HTTP/1.1\r\n{headers}\r\n\r\n".encode() + body


async def load(
    port: int,
    requests: Sequence[bytes],
    clients: int,
    expected: bytes = b"",
    *,
    times: int = 1,
    seconds: float | None = None,
    rate: float | None = None,
) -> Measured:
    """Send every request once from so many connections; with `seconds`, over and over until they are gone.

    Without a `rate` each connection waits for its answer and goes on (closed loop). With one, requests are due at
    random moments, so many a second on average, whatever the answers do (open loop), and latency counts from the moment
    a request was due, not from when a connection was free for it. A failure is an answer of another status than 2xx,
    without the `expected` bytes so many `times`, or none because the connection was closed.
    """
    what = {
        "port": port,
        "clients": clients,
        "expected": expected.hex(),
        "times": times,
        "seconds": seconds,
        "rate": rate,
        "lengths": [len(each) for each in requests],
    }
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.load_process", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        out, _ = await child.communicate(json.dumps(what).encode() + b"\n" + b"".join(requests))
    except asyncio.CancelledError:
        child.kill()
        await child.wait()
        raise
    if child.returncode != 0:
        raise RuntimeError(f"The load generator ended with exit code {child.returncode}.")
    told = json.loads(out)
    return Measured(**told | {"answer": bytes.fromhex(told["answer"])})
