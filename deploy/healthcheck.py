"""Asks the service in this container about itself: exit status 0 for yes, 1 for no. A slim image has no curl.

The engine asks whether it lives (`/healthz`): a gateway without one of its shards still finds faces, a shard that reads
its stores still makes progress, and to restart either would only make the outage larger. `make up` asks `/readyz`.
"""

from __future__ import annotations

import http.client
import os
import sys

TIMEOUT_S = 3.0


def answers(port: int, path: str) -> bool:
    """True if `GET path` on this machine answers 200 within three seconds."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if answers(int(os.environ["FACEGRID_PORT"]), sys.argv[1]) else 1)
