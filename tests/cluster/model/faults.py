"""What is done to the cluster while the operations go on, and undone before it is looked at."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Mapping, Sequence

import httpx

from deploy.local.cluster import LocalCluster

ANSWER_S = 30.0


class Faults:
    """Every fault is remembered here until `mend`. Names are those of LocalCluster's processes."""

    def __init__(
        self,
        cluster: LocalCluster,
        replicas: Sequence[str],
        gateways: Mapping[str, str],
        dice: random.Random,
        report: Callable[[str], None],
    ) -> None:
        """`gateways`: name of the process → URL."""
        self._cluster = cluster
        self._dice = dice
        self._report = report
        self._paused: dict[str, int] = {}
        self._held = contextlib.ExitStack()
        self._broken = False
        self._replicas = list(replicas)
        self._gateways = dict(gateways)
        self.draining: Callable[[], str | None] = lambda: None
        self.kinds: dict[str, Callable[[], str]] = {
            "kill replica": self._kill_replica,
            "kill both replicas": self._kill_shard,
            "hold replica": self._hold_replica,
            "pause replica": self._pause_replica,
            "lose shard": self._lose_shard,
            "kill gateway": self._kill_gateway,
            "kill redis": self._kill_redis,
            "pause redis": self._pause_redis,
        }

    def strike(self) -> str:
        """One fault at random; answers its name."""
        kind = self._dice.choice(list(self.kinds))
        self._report(f"{kind}: {self.kinds[kind]()}")
        self._broken = True
        return kind

    def mend(self) -> None:
        """Everything that was stopped goes on, everything that was held down is started."""
        for pid in self._paused.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self._paused.clear()
        self._held.close()
        self._broken = False

    def resume_redis(self) -> None:
        """Redis alone goes on: while it is paused every write takes its time-out."""
        if "redis" in self._paused:
            os.kill(self._paused.pop("redis"), signal.SIGCONT)

    def _kill(self, name: str) -> None:
        self._paused.pop(name, None)
        self._cluster.process(name).kill()

    def _kill_replica(self) -> str:
        name = self._dice.choice(self._replicas)
        self._kill(name)
        return name

    def _kill_shard(self) -> str:
        shard = self._dice.choice(self._replicas).partition("/")[0]
        for name in self._replicas:
            if name.startswith(f"{shard}/"):
                self._kill(name)
        return shard

    def _hold_replica(self) -> str:
        name = self._dice.choice(self._replicas)
        self._paused.pop(name, None)
        self._held.enter_context(self._cluster.held_down(name))
        return name

    def _lose_shard(self) -> str:
        """All replicas stay down until the others have its stores; not while something else is broken, or while the
        others are being drained, for then nobody takes them."""
        if self._broken or self.draining() is not None:
            return self._kill_shard()
        shard = self._dice.choice(self._replicas).partition("/")[0]
        for name in self._replicas:
            if name.startswith(f"{shard}/"):
                self._held.enter_context(self._cluster.held_down(name))
        self._broken = True
        _until(lambda: _has_no_store(next(iter(self._gateways.values())), shard), f"{shard} keeps its stores")
        return shard

    def _pause_replica(self) -> str:
        name = self._dice.choice(self._replicas)
        return self._pause(name)

    def _pause(self, name: str) -> str:
        process = self._cluster.process(name)
        if process.poll() is None:
            process.send_signal(signal.SIGSTOP)
            self._paused[name] = process.pid
        return name

    def _kill_gateway(self) -> str:
        """And wait until it is there again: a client without a gateway learns nothing."""
        name = self._dice.choice(list(self._gateways))
        process = self._cluster.process(name)
        self._kill(name)
        process.wait()
        _until(lambda: _answers(self._gateways[name]), f"{name} does not answer")
        return name

    def _kill_redis(self) -> str:
        self._kill("redis")
        return "redis"

    def _pause_redis(self) -> str:
        return self._pause("redis")


def _until(condition: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + ANSWER_S
    while not condition():
        assert time.monotonic() < deadline, f"{otherwise} after {ANSWER_S:.0f} s"
        time.sleep(0.02)


def _has_no_store(url: str, shard: str) -> bool:
    """Nobody is sent to it any more."""
    answer = httpx.get(f"{url}/v1/stores", timeout=ANSWER_S, trust_env=False)
    return answer.is_success and all(store["shard"] != shard for store in answer.json()["stores"])


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=2, trust_env=False).is_success
    except httpx.HTTPError:
        return False
