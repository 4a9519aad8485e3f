"""`python -m gateway`: one gateway in the foreground, with the settings of `FACEGRID_*`. SIGTERM drains and ends it."""

from __future__ import annotations

import sys

from common.serve import serve
from common.settings import GatewaySettings
from gateway.app import create_app


def main() -> int:
    """Run until a signal; returns the exit status."""
    return serve(GatewaySettings, create_app)


if __name__ == "__main__":
    sys.exit(main())
