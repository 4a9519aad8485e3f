"""What a process takes of the machine, read from /proc: Linux only."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

QUIET_S, IDLE = 1.0, 0.1
"""a process is quiet that used less than this share of a core for so long"""
QUIET_TIMEOUT_S = 120.0


def resident(pid: int) -> int:
    """Bytes of memory that a process has now. Raises RuntimeError where the system does not tell (not Linux)."""
    status = Path(f"/proc/{pid}/status")
    for line in status.read_text().splitlines() if status.exists() else ():
        if line.startswith("VmRSS:"):
            return 1024 * int(line.split()[1])
    raise RuntimeError("The memory of a process is read from /proc, which is not here.")


async def quiet(pids: Sequence[int]) -> None:
    """Return once the processes hardly use the processor: what they build in the background after a load is built."""
    async with asyncio.timeout(QUIET_TIMEOUT_S):
        before = [cpu_s(pid) for pid in pids]
        while True:
            await asyncio.sleep(QUIET_S)
            now = [cpu_s(pid) for pid in pids]
            if all(late - early < IDLE * QUIET_S for late, early in zip(now, before, strict=True)):
                return
            before = now


def cpu_s(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
