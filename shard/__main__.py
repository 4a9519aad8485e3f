"""`python -m shard`: one replica in the foreground, with its settings from `FACEGRID_*`. SIGTERM drains and ends it."""

from __future__ import annotations

import sys

from common.serve import serve
from common.settings import ShardSettings
from shard.app import create_app
from shard.call_protocol import CallProtocol


def main() -> int:
    """Run until a signal; returns the exit status."""
    return serve(ShardSettings, create_app, CallProtocol)


if __name__ == "__main__":
    sys.exit(main())
