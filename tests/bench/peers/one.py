"""`python -m tests.bench.peers.one NAME FOLDER CLIENTS SECONDS POSTGRES`: one peer, in a process that is all its own.

Reads the workload from the folder, writes NAME.json into it, and says on its standard error how far it is.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from tests.bench.peers.data import Workload
from tests.bench.peers.driver import measure
from tests.bench.peers.registry import peers


def main() -> None:
    name, folder, clients, seconds, postgres = sys.argv[1:]
    peer = next(peer for peer in peers(postgres) if peer.name == name)
    with closing(peer):
        figures = measure(peer, Workload.load(Path(folder)), int(clients), float(seconds), teller(name))
    (Path(folder) / f"{name}.json").write_text(json.dumps(asdict(figures)))


def teller(name: str) -> Callable[[str], None]:
    started = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - started:6.1f} s  {name}: {what}", file=sys.stderr, flush=True)

    return say


if __name__ == "__main__":
    main()
