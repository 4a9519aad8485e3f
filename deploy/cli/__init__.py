"""The command line, `facegrid`: one module a group of commands, what they share in `options` and `output`."""

from __future__ import annotations

import io
import sys


def main() -> None:
    """Exit codes: 0 done, 1 it failed, 2 it was called wrongly."""
    from deploy.cli.app import app  # noqa: PLC0415  # importing the package stays free of charge

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name may hold what no terminal can show

    app()
