"""The HTTP edge: the log of a failure names no face, and a caller that hangs up is no failure."""

from __future__ import annotations

import logging
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request

from common.http import install_problems


def app() -> FastAPI:
    made = FastAPI()
    install_problems(made)

    @made.get("/faces/{face_id}")
    async def broken(face_id: str) -> None:  # noqa: ARG001  # the path needs it
        raise LookupError

    @made.post("/faces")
    async def read(request: Request) -> int:
        return len(await request.body())

    return made


async def test_the_log_of_a_failure_names_the_route_and_not_the_face(caplog: pytest.LogCaptureFixture) -> None:
    transport = httpx.ASGITransport(app(), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as http:
        assert (await http.get("/faces/ada-lovelace")).status_code == 500
    text = "\n".join(logging.Formatter().format(record) for record in caplog.records if record.name != "httpx")
    assert "GET /faces/{face_id} failed" in text
    assert "ada-lovelace" not in text


async def test_a_caller_that_hangs_up_is_no_error_of_the_server(caplog: pytest.LogCaptureFixture) -> None:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/faces", "headers": [], "query_string": b"", "root_path": ""}
    await app()(scope, receive, send)
    assert sent[0]["status"] == 400
    assert caplog.records == []
