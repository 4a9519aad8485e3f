"""A gateway of a few lines behind a real socket: it remembers what it took, and fails where it is told."""

from __future__ import annotations

import email
import email.policy
import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

JSON = "application/json"


@dataclass(frozen=True)
class Received:
    store: str
    at: str
    camera: str
    track: str
    photos: tuple[str, ...]
    """SHA-256"""


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


def problem(status: int, code: str, field: str = "", retry_after: str = "", **extra: object) -> Answer:
    body = {"status": status, "title": code, "detail": f"{code.lower()}.", "code": code, "field": field} | extra
    return Answer(status, json.dumps(body).encode(), (("Retry-After", retry_after),) if retry_after else ())


def counted(*outcomes: str) -> Answer:
    return Answer(200, json.dumps({"faces": [{"outcome": outcome} for outcome in outcomes or ("counted",)]}).encode())


def digest(photo: bytes) -> str:
    return hashlib.sha256(photo).hexdigest()


def parsed(path: str, content_type: str, body: bytes) -> Received:
    whole = f"Content-Type: {content_type}\r\n\r\n".encode() + body
    fields: dict[str, str] = {}
    photos: list[str] = []
    for part in email.message_from_bytes(whole, policy=email.policy.HTTP).iter_parts():
        name, content = part["content-disposition"].params["name"], part.get_payload(decode=True)
        assert isinstance(content, bytes)
        if name == "image":
            photos.append(digest(content))
        else:
            fields[name] = content.decode()
    return Received(path.split("/")[3], fields["at"], fields["camera"], fields["track"], tuple(photos))


class Receiver:
    """`answer` decides about each request; what it answers 200 to is in `taken`, everything in `asked`."""

    def __init__(self, answer: Callable[[Received], Answer | None] | None = None) -> None:
        self.taken: list[Received] = []
        self.asked: list[Received] = []
        self.answer = answer or (lambda _: None)
        self.changed = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait_for(self, condition: Callable[[], object], timeout_s: float = 20.0) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, timeout_s), "the condition did not come true in time"

    def _take(self, received: Received) -> Answer:
        answer = self.answer(received) or counted()
        with self.changed:
            self.asked.append(received)
            if answer.status == 200:
                self.taken.append(received)
            self.changed.notify_all()
        return answer

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._reply(Answer(200, json.dumps({"store": "vienna", "shard": "s1"}).encode()))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if len(body) < int(self.headers["Content-Length"]):
                    return  # its sender was killed in the middle; a gateway takes no half of a body either
                self._reply(receiver._take(parsed(self.path, self.headers["Content-Type"], body)))

            def _reply(self, answer: Answer) -> None:
                self.send_response(answer.status)
                for name, value in (*answer.headers, ("Content-Type", JSON), ("Content-Length", str(len(answer.body)))):
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        return Handler
