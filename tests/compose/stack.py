"""The real compose file on a real Docker engine, under a project name, a port and keys of its own."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx

from deploy.local.embedded_redis import free_port
from tests.conftest import REPOSITORY

BUILD_TIMEOUT_S = 900
COMMAND_TIMEOUT_S = 120
READY_TIMEOUT_S = 120
POLL_S = 0.2
T = TypeVar("T")
SHARD_OF = {"shard-1": "s1", "shard-2": "s2", "shard-3": "s3"}


def run(*command: str, timeout_s: float = COMMAND_TIMEOUT_S, env: dict[str, str] | None = None) -> str:
    """Run a command at the root of the project; returns its stdout. Raises RuntimeError with the end of its output."""
    done = subprocess.run(
        command, cwd=REPOSITORY, env=env, capture_output=True, text=True, timeout=timeout_s, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done.stdout


def works(*command: str) -> bool:
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run(command, capture_output=True, timeout=COMMAND_TIMEOUT_S, check=False).returncode == 0


def compose_command() -> tuple[str, ...] | None:
    """Compose v2 where the docker command has it, else docker-compose 1.29, else None."""
    if works("docker", "compose", "version"):
        return ("docker", "compose")
    return ("docker-compose",) if works("docker-compose", "version") else None


def until(what: str, condition: Callable[[], T], timeout_s: float = READY_TIMEOUT_S) -> T:
    """Ask again and again until the condition is true; returns its value. Raises TimeoutError naming `what`."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{timeout_s:.0f} s were not enough for: {what}")
        time.sleep(POLL_S)
    return value


@dataclass
class Stack:
    compose: tuple[str, ...]
    project: str = field(default_factory=lambda: f"facegrid-test-{secrets.token_hex(4)}")
    port: int = field(default_factory=free_port)
    api_key: str = field(default_factory=lambda: secrets.token_hex(24))

    def __post_init__(self) -> None:
        self._env = {
            **os.environ,
            "COMPOSE_PROJECT_NAME": self.project,
            "FACEGRID_BIND": "127.0.0.1",
            "FACEGRID_PUBLISH_PORT": str(self.port),
            "FACEGRID_API_KEYS": self.api_key,
            "FACEGRID_CLUSTER_KEY": secrets.token_hex(24),
            "FACEGRID_REDIS_PASSWORD": secrets.token_hex(24),
            "FACEGRID_ENCODER_WORKERS": "1",
            "FACEGRID_IMAGE_TAG": "test",
        }
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}", headers={"X-API-Key": self.api_key}, timeout=60
        )

    def call(self, *arguments: str, timeout_s: float = COMMAND_TIMEOUT_S) -> str:
        return run(*self.compose, *arguments, timeout_s=timeout_s, env=self._env)

    def up(self) -> None:
        self.call("build", timeout_s=BUILD_TIMEOUT_S)
        self.call("up", "-d")
        self.wait_ready()

    def down(self) -> None:
        """Remove the containers, the networks and the volume; the images stay."""
        self.http.close()
        self.call("down", "--volumes", "--remove-orphans", "--timeout", "5")

    def wait_ready(self) -> None:
        until("the gateway to be ready with every shard", self._ready)

    def _ready(self) -> bool:
        try:
            if self.http.get("/readyz").status_code != httpx.codes.OK:
                return False
            return {shard["shard"] for shard in self.shards() if shard["state"] == "ready"} == set(SHARD_OF.values())
        except httpx.TransportError:
            return False

    def shards(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.http.get("/v1/shards").raise_for_status().json()["shards"]
        return found

    def services(self) -> list[str]:
        return self.call("config", "--services").split()

    def container(self, service: str) -> str:
        """The id of the service's container, running or not."""
        return run("docker", "ps", "-aq", "--no-trunc", *self._filters(), *self._filter("service", service)).strip()

    def inspect(self, service: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(run("docker", "inspect", self.container(service)))[0]
        return found

    def execute(self, service: str, *command: str) -> str:
        return run("docker", "exec", self.container(service), *command)

    def crash(self, service: str) -> None:
        """Kill the service from inside. After `docker kill`, which counts as a wish, the engine restarts nothing."""
        self.execute(service, "sh", "-c", "kill -9 -1")

    def list_containers(self) -> str:
        return run("docker", "ps", "-a", *self._filters())

    def _filters(self) -> tuple[str, ...]:
        return self._filter("project", self.project)

    def _filter(self, label: str, value: str) -> tuple[str, ...]:
        return "--filter", f"label=com.docker.compose.{label}={value}"
