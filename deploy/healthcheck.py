"""Asks the service in this container whether it is ready: exit status 0 for yes, 1 for no. A slim image has no curl."""

from __future__ import annotations

import http.client
import os
import sys

TIMEOUT_S = 3.0


def ready(port: int) -> bool:
    """True if `GET /readyz` on this machine answers 200 within three seconds."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if ready(int(os.environ["FACEGRID_PORT"])) else 1)
