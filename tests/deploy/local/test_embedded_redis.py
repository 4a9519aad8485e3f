"""The embedded server: what it acknowledged is there after a kill -9."""

from __future__ import annotations

import socket
from pathlib import Path

from redis import Redis

from deploy.local.embedded_redis import (
    FIRST_PORT,
    LAST_PORT,
    SILENT,
    embedded_redis_lacks,
    free_port,
    start_embedded_redis,
)


def test_a_free_port_can_be_listened_on_and_is_below_those_of_outgoing_connections() -> None:
    port = free_port()
    assert FIRST_PORT <= port < LAST_PORT
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", port))


def test_an_acknowledged_write_survives_kill_9(tmp_path: Path) -> None:
    port = free_port()
    server = start_embedded_redis(tmp_path, port)
    with Redis(port=port) as client:
        client.set("face", "row")
        assert client.config_get("appendfsync") == {"appendfsync": "always"}
    server.kill()
    server.wait()
    assert embedded_redis_lacks(port) == SILENT
    server = start_embedded_redis(tmp_path, port)
    try:
        assert embedded_redis_lacks(port) is None
        with Redis(port=port) as client:
            assert client.get("face") == b"row"
    finally:
        server.kill()
        server.wait()
