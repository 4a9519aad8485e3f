"""A Redis-protocol server of a test's own, to be killed, paused, emptied and started again on the same data."""

from __future__ import annotations

import subprocess
from pathlib import Path

from common.truth import connect
from deploy.local.embedded_redis import free_port, start_embedded_redis


class Server:
    def __init__(self, data: Path) -> None:
        self.data = data
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = start_embedded_redis(self.data, self.port)

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    async def tell(self, *command: str) -> None:
        redis = connect(self.url, timeout_s=5)
        await redis.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py has no types for it
        await redis.aclose()
