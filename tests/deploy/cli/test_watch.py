"""`facegrid watch`: one line an event; it goes on by itself, and Ctrl-C ends it cleanly."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable
from queue import Queue

import pytest
from redis.asyncio import Redis
from typer.testing import CliRunner

from deploy.cli.app import app
from deploy.cli.watch import line
from deploy.client.events import EventBody, FaceBody
from deploy.local.embedded_redis import free_port
from tests.conftest import REPOSITORY
from tests.gateway.checkout import announce, gateway_process, open_store, put_face

ADA: FaceBody = {"store": "B", "face_id": "ada", "kind": "member"}
BOB: FaceBody = {"store": "A", "face_id": "bob", "kind": "visitor"}


def event(kind: str, face: FaceBody | None, **more: object) -> EventBody:
    base = {"id": "1-0", "type": kind, "store": "A", "at": "2020-11-20T08:00:00Z", "late": False, "provisional": False}
    return {**base, "face": face, "member": None, "was": None, **more}  # type: ignore[typeddict-item]  # a literal


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (event("arrival", ADA, member={"member_id": "c-1", "display_name": "Ada", "tier": "gold"}), "Ada (gold, c-1)"),
        (event("arrival", ADA, member={"member_id": "c-1", "display_name": "Ada", "tier": None}), "Ada (member, c-1)"),
        (event("arrival", ADA), "member B/ada"),
        (event("arrival", BOB), "returning visitor A/bob"),
        (event("arrival", BOB, provisional=True, late=True), "returning visitor A/bob  (provisional)  (late)"),
        (event("new_visitor", BOB), "new visitor A/bob"),
        (event("arrival", None), "somebody whose face was erased"),
        (event("correction", BOB, was=ADA), "returning visitor A/bob, not member B/ada as said before"),
    ],
)
def test_a_line_says_when_and_who(told: EventBody, expected: str) -> None:
    when, _, rest = line(told).partition("  ")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", when)
    assert rest == expected


def test_an_id_that_cannot_be_one_is_a_usage_error() -> None:
    done = CliRunner().invoke(app, ["watch", "A", "--since", "yesterday"])
    assert done.exit_code == 2


@pytest.mark.cluster
async def test_it_goes_on_with_another_gateway_and_ends_with_ctrl_c(redis_url: str, redis: Redis) -> None:
    store = await open_store(redis)
    bob, port = await put_face(redis, store, "bob"), free_port()
    lines: Queue[str] = Queue()

    def pass_on(printed: Iterable[str]) -> None:
        for text in printed:
            lines.put(text)

    def said(part: str) -> str:
        while part not in (text := lines.get(timeout=30)):
            pass
        return text

    with gateway_process(redis_url, port):
        command = [sys.executable, "-m", "deploy.cli", "watch", "A", "--url", f"http://127.0.0.1:{port}"]
        watch = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert watch.stdout is not None
        threading.Thread(target=pass_on, args=(watch.stdout,), daemon=True).start()
        said("Connected")
        await announce(redis, "A", bob, "new_visitor")
        assert "new visitor A/bob" in said("visitor")
    said("trying again")
    await announce(redis, "A", bob)
    with gateway_process(redis_url, port):
        assert "returning visitor A/bob" in said("visitor")
        watch.send_signal(signal.SIGINT)
        assert watch.wait(30) == 0
    assert watch.stderr is not None
    assert watch.stderr.read() == ""
