"""A whole cluster on one machine: the embedded server, shards × replicas and a gateway, as supervised child processes.

It owns the choice of ports, the data folder and the order of things; it never looks into requests. The server's port
is chosen once and kept, because everybody was told; a shard takes a new port at each start, because its heartbeat
tells where it is. All of them listen on 127.0.0.1 only.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from deploy.local.children import start_child
from deploy.local.data_folder import DataFolder
from deploy.local.embedded_redis import embedded_redis_command, embedded_redis_lacks, free_port
from deploy.local.supervisor import Child, Supervisor

READY_TIMEOUT_S = 180.0  # reading millions of faces takes its time; a start without data takes seconds
REDIS, GATEWAY = "redis", "gateway"
QUICKLY = signal.SIGINT
"""finishes what runs, without the grace for others to turn away: nobody is left who could"""


def ignore(_: str) -> None:
    """For those who want to hear nothing."""


class ClusterError(Exception):
    """The cluster could not be started, or did not become ready; the text says why."""


class PortTaken(ClusterError):
    """Somebody else listens on the gateway's port."""


class LocalCluster:
    """Start with `start()` or as a context manager; `stop()` leaves no process, the data stays in `data`.

    `redis_url`: a server to use instead of the embedded one. `report`: gets one line whenever a process had to be
    restarted. Names of processes: "redis", "gateway", "gateway-2", "s1/a" (shard/replica). `gateways`: those after the
    first take free ports; `urls` has all of them.
    """

    def __init__(  # noqa: PLR0913  # the size of a cluster, and what it stands on
        self,
        data: Path,
        *,
        shards: int = 3,
        replicas: int = 1,
        gateways: int = 1,
        port: int = 8000,
        redis_url: str | None = None,
        report: Callable[[str], None] = ignore,
    ) -> None:
        self.folder = DataFolder(data)
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        others = {f"{GATEWAY}-{nth}": free_port() for nth in range(2, gateways + 1)}
        self._gateways = {GATEWAY: port} | others
        self.urls = [f"http://127.0.0.1:{each}" for each in self._gateways.values()]
        self.key = next((key.strip() for key in os.environ.get("FACEGRID_API_KEYS", "").split(",") if key.strip()), "")
        self._redis_port = free_port()
        self.redis_url = redis_url or f"redis://127.0.0.1:{self._redis_port}/0"
        self._lock = -1
        self._ports: dict[str, int] = {}
        names = [f"s{shard}/{chr(ord('a') + replica)}" for shard in range(1, shards + 1) for replica in range(replicas)]
        self._threads = max(1, (os.cpu_count() or 1) // len(names))
        stages = [
            [Child(name, self._shard_starter(name), end_signal=QUICKLY) for name in names],
            [Child(name, self._gateway_starter(name), end_signal=QUICKLY) for name in self._gateways],
        ]
        if redis_url is None:
            stages.insert(0, [Child(REDIS, self._start_redis, lambda: embedded_redis_lacks(self._redis_port))])
        self._shards = names
        self._supervisor = Supervisor(stages, report)

    def start(self, timeout_s: float = READY_TIMEOUT_S, waiting: Callable[[str], None] = ignore) -> None:
        """Start everything and return once it is ready; `waiting` hears what is still missing.

        Raises PortTaken or DataInUse before anything is started, ClusterError (everything stopped again) afterwards.
        """
        check_port(self.port)
        self._lock = self.folder.lock(f"the cluster at {self.url}, process {os.getpid()}")
        try:
            self._supervisor.start()
            self.wait_ready(timeout_s, waiting)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Gateway, shards, server: ask each to end, wait, kill what is left. Harmless a second time."""
        self._supervisor.stop()
        self.folder.unlock()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def check(self) -> None:
        """Raise ClusterError if this cannot go on: nobody supervises the processes, or the data was taken away."""
        if not self._supervisor.alive():
            raise ClusterError("The supervisor of the processes has ended; they are stopped.")
        if not self.folder.is_ours():
            raise ClusterError(f"{self.folder.root} was removed or replaced; nothing new would survive there.")

    def process(self, name: str) -> subprocess.Popen[bytes]:
        """The newest process of that name; it may have died just now."""
        return self._supervisor.process(name)

    def held_down(self, name: str) -> AbstractContextManager[None]:
        """Kill the process (SIGKILL) and keep it down inside the block; it is started again at the block's end."""
        return self._supervisor.held_down(name)

    def restart(self, name: str, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Restart a process as an upgrade does: ask it to end (SIGTERM), and wait until all are ready again.

        Raises ClusterError like `wait_ready`.
        """
        self._supervisor.restart(name)
        self.wait_ready(timeout_s)

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S, waiting: Callable[[str], None] = ignore) -> None:
        """Return once every gateway answers ready and lists every replica started here as ready.

        Raises ClusterError with what is missing after `timeout_s`, or at once when a process keeps dying.
        """
        deadline = time.monotonic() + timeout_s
        while (why := self.lacks()) is not None:
            waiting(why)
            dying = self._supervisor.hopeless()
            if dying is not None:
                raise ClusterError(f"{dying} keeps ending. {self._see_log(dying)}")
            self.check()
            if time.monotonic() > deadline:
                raise ClusterError(f"Not ready after {timeout_s:.0f} s: {why.rstrip('.')}. Logs: {self.folder.logs}")
            time.sleep(0.1)

    def lacks(self) -> str | None:
        """Why the cluster is not ready, as one sentence; None if it is."""
        if why := self._supervisor.lacks():
            return f"{why}."
        return next((why for url in self.urls if (why := self._gateway_lacks(url))), None)

    def _gateway_lacks(self, url: str) -> str | None:
        try:
            with httpx.Client(base_url=url, timeout=5, headers=key_header(self.key), trust_env=False) as client:
                ready = client.get("/readyz")
                return self._missing(client.get("/v1/shards").json()) if ready.is_success else reasons(ready)
        except (httpx.HTTPError, ValueError):
            return "The gateway does not answer yet."

    def _missing(self, answer: Mapping[str, object]) -> str | None:
        ready = {replica["url"] for replica in ready_replicas(answer)}
        missing = [name for name in self._shards if f"http://127.0.0.1:{self._ports.get(name)}" not in ready]
        return f"Not ready yet: {', '.join(missing)}." if missing else None

    def _see_log(self, name: str) -> str:
        return f"The end of {self.folder.log_of(name)}:\n{self.folder.end_of_log(name)}"

    def _start_redis(self) -> subprocess.Popen[bytes]:
        command = embedded_redis_command(self.folder.redis, self._redis_port)
        with self.folder.open_log(REDIS) as log:
            return start_child(command, output=log, inherit=[self._lock])

    def _shard_starter(self, name: str) -> Callable[[], subprocess.Popen[bytes]]:
        shard, replica = name.split("/")

        def start() -> subprocess.Popen[bytes]:
            self._ports[name] = free_port()
            return self._start_python("shard", name, self._ports[name], {"SHARD": shard, "REPLICA": replica})

        return start

    def _gateway_starter(self, name: str) -> Callable[[], subprocess.Popen[bytes]]:
        return lambda: self._start_python("gateway", name, self._gateways[name], {})

    def _start_python(self, module: str, name: str, port: int, extra: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Our own settings over those of the environment, so that every other FACEGRID_* is obeyed too."""
        ours = {"HOST": "127.0.0.1", "PORT": str(port), "ADVERTISE_URL": "", "REDIS_URL": self.redis_url, **extra}
        env = {"FACEGRID_SEARCH_THREADS": str(self._threads), **os.environ}
        env |= {f"FACEGRID_{setting}": value for setting, value in ours.items()}
        with self.folder.open_log(name) as log:
            # -P: a folder named "shard" where the user happens to stand must not be taken for ours.
            return start_child([sys.executable, "-P", "-m", module], env=env, output=log)


def check_port(port: int) -> None:
    """Raise PortTaken if somebody listens on 127.0.0.1:`port`."""
    with contextlib.closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the gateway will: TIME_WAIT is no obstacle
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise PortTaken(f"Port {port} cannot be used: {error.strerror}.") from error


def key_header(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


def reasons(response: httpx.Response) -> str:
    """What a problem body of /readyz gives as reasons."""
    body = response.json()
    return "; ".join(map(str, body.get("reasons", ()))) or str(body.get("detail", response.status_code))


def ready_replicas(answer: Mapping[str, object]) -> list[Mapping[str, object]]:
    """The replicas of a /v1/shards answer that are ready; none if it is a problem body."""
    shards = answer.get("shards")
    if not isinstance(shards, list):
        return []
    return [replica for shard in shards for replica in shard["replicas"] if replica["state"] == "ready"]
