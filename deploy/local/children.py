"""Child processes that never outlive their parent."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import IO

PR_SET_PDEATHSIG = 1
# Looked up here and not in the child: between fork and exec only a bare system call is safe beside other threads.
_PRCTL = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def _die_with(parent: int) -> Callable[[], None]:
    def in_child() -> None:
        # Linux only; elsewhere an orderly end still stops the children, a kill -9 of the parent does not.
        if _PRCTL is not None:
            _PRCTL(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:  # it was killed before the kernel knew of our wish
                os._exit(1)

    return in_child


def start_child(
    arguments: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    output: IO[bytes] | int = subprocess.DEVNULL,
    inherit: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own (Ctrl-C reaches only us) that the kernel kills when we die.

    Call it from a thread that lives as long as the process: the kernel watches the thread that forked. `inherit` are
    file descriptors that stay open in the child.
    """
    return subprocess.Popen(
        list(arguments),
        env=None if env is None else dict(env),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        pass_fds=tuple(inherit),
        preexec_fn=_die_with(os.getpid()) if sys.platform == "linux" else None,  # noqa: PLW1509  # two system calls
    )


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill what `start_child` started and whatever it left in its session, such as worker processes."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # PermissionError: macOS, a group of zombies
        os.killpg(process.pid, signal.SIGKILL)
