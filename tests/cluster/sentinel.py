"""A primary, its replica and a Sentinel as real processes."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from deploy.local.children import start_child
from deploy.local.embedded_redis import embedded_redis_command, embedded_redis_lacks, free_port

SERVICE = "facegrid"
PATIENCE_S = 30.0


def client(port: int) -> Redis:
    return Redis(port=port, socket_timeout=2, retry=Retry(NoBackoff(), 0), decode_responses=True)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            if condition():
                return
        except RedisError:
            pass
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.05)


@dataclass(slots=True)
class Servers:
    processes: dict[int, subprocess.Popen[bytes]]
    """port → server, the primary first"""
    sentinel: int

    @property
    def url(self) -> str:
        nobody = free_port()  # one of several Sentinels may be away
        return f"redis+sentinel://127.0.0.1:{nobody},127.0.0.1:{self.sentinel}/{SERVICE}/0"

    def primary(self) -> int:
        """The port of the server that the Sentinel calls the primary."""
        with client(self.sentinel) as asked:
            return int(asked.sentinel_get_master_addr_by_name(SERVICE)[1])

    def kill_primary(self) -> int:
        """kill -9; returns its port once the Sentinel has made the other one the primary."""
        port = self.primary()
        self.processes[port].kill()
        self.processes[port].wait()
        until(lambda: self.primary() != port)
        return port

    def fail_over(self) -> None:
        """The other one becomes the primary, and the old one, alive, its replica."""
        port = self.primary()
        with client(self.sentinel) as asked:
            # Refused (NOGOODSLAVE) while the Sentinel has not yet heard from the replica, or not for 500 ms.
            until(lambda: asked.execute_command("SENTINEL", "FAILOVER", SERVICE))
        until(lambda: self.primary() != port)

    def until_replicated(self) -> None:
        with client(self.primary()) as primary:
            until(lambda: primary.execute_command("WAIT", 1, 1000) == 1)


def _server(data: Path, port: int) -> subprocess.Popen[bytes]:
    """With a settings file of its own: a Sentinel has the servers rewrite theirs."""
    binary, conf, *options = embedded_redis_command(data, port)
    own = data / "redis.conf"
    own.write_text(Path(conf).read_text())
    return start_child([binary, str(own), *options])


@contextmanager
def servers(folder: Path) -> Iterator[Servers]:
    primary, replica, sentinel = free_port(), free_port(), free_port()
    started = {port: _server(folder / str(port), port) for port in (primary, replica)}
    (binary, *_) = embedded_redis_command(folder, sentinel)
    conf = folder / "sentinel.conf"
    conf.write_text(
        f"port {sentinel}\nbind 127.0.0.1\ndir {folder}\nsentinel monitor {SERVICE} 127.0.0.1 {primary} 1\n"
        f"sentinel down-after-milliseconds {SERVICE} 500\nsentinel failover-timeout {SERVICE} 3000\n"
    )
    watcher = None
    try:
        until(lambda: not any(embedded_redis_lacks(port) for port in started))
        with client(replica) as joining:
            joining.replicaof("127.0.0.1", str(primary))
            until(lambda: joining.info("replication")["master_link_status"] == "up")
        watcher = start_child([binary, str(conf), "--sentinel"])
        with client(sentinel) as asked:
            until(lambda: asked.sentinel_master(SERVICE)["num-slaves"] == 1)
        yield Servers(started, sentinel)
    finally:
        for process in (*started.values(), watcher):
            if process is not None:
                process.kill()
                process.wait()
