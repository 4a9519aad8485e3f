"""The least of an HTTP client, so that servers are what is measured: one connection, kept where the server keeps it."""

from __future__ import annotations

import socket

CHUNK = 1 << 16


class Http:
    """Picklable: connects at the first request. One thread at a time."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None

    def post(self, path: str, body: bytes, kind: str = "application/octet-stream", method: str = "POST") -> bytes:
        """The answer's body. An answer of another status than 2xx is an error, as is one that breaks off."""
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}"
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port))
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(f"{head}\r\n\r\n".encode() + body)
        status, headers, answer = _read(self._socket)
        if status.startswith(b"HTTP/1.0") or headers.get(b"connection") == b"close":
            self.close()
        if status.split(b" ")[1][:1] != b"2":
            raise OSError(f"{method} {path}: {status.decode()}: {answer[:300].decode(errors='replace')}")
        return answer

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _read(connection: socket.socket) -> tuple[bytes, dict[bytes, bytes], bytes]:
    """Status line, headers by their names in lower case, body."""
    read = b""
    while (end := read.find(b"\r\n\r\n")) < 0:
        read += _more(connection)
    status, *lines = read[:end].split(b"\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
    body = read[end + 4 :]
    while len(body) < int(headers[b"content-length"]):
        body += _more(connection)
    return status, headers, body


def _more(connection: socket.socket) -> bytes:
    more = connection.recv(CHUNK)
    if not more:
        raise ConnectionError("closed in the middle of an answer")
    return more
