"""`facegrid migrate`: goes on until it is done, names who has to be photographed, and ends with 1 if it is not."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import pytest
import typer
from typer.testing import CliRunner

from deploy.cli import migrate
from deploy.cli.options import FriendlyGroup
from deploy.client.migration import MigrationClient
from gateway.schemas.migration import MigrationAnswer
from tests.deploy.client.faults import problem

EXAMPLE: dict[str, Any] = MigrationAnswer.model_config["json_schema_extra"]["examples"][0]  # type: ignore[index, assignment]  # the documented answer
MISSING = [
    {"face_id": "eve", "kind": "staff", "member_id": None},
    {"face_id": "ada", "kind": "member", "member_id": "m"},
]
WHOLE = {"without_thumbnail_count": 0, "without_thumbnail": []}
Facegrid = Callable[..., tuple[int, str]]


def answer(state: str, **more: Any) -> httpx.Response:
    return httpx.Response(200, json=EXAMPLE | {"state": state} | more)


class Gateway:
    """Answers POSTs from a list, and GETs with two pages of those who are missing."""

    def __init__(self) -> None:
        self.answers: list[httpx.Response] = []
        self.asked: list[dict[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/v1/stores/vienna-1/migration"
        if request.method == "POST":
            self.asked.append(json.loads(request.content))
            return self.answers.pop(0)
        first = request.url.params.get("cursor", "0") == "0"
        page = {"without_thumbnail": MISSING[:1] if first else MISSING, "cursor": "7" if first else None}
        return answer("idle", **page, to=None, without_thumbnail_count=2)


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Gateway:
    made = Gateway()

    def client(url: str, key: str) -> MigrationClient:
        return MigrationClient(url, key, transport=httpx.MockTransport(made), sleep=lambda _: None)

    monkeypatch.setattr(migrate, "MigrationClient", client)
    monkeypatch.setattr(migrate, "PAUSE_S", 0.0)
    return made


@pytest.fixture
def facegrid() -> Facegrid:
    app = typer.Typer(cls=FriendlyGroup)
    app.command()(migrate.migrate)
    app.command()(lambda: None)  # a group has more than one

    def run(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["migrate", "--store", "vienna-1", *arguments], env={"COLUMNS": "80"})
        return done.exit_code, done.output

    return run


def faces(output: str) -> Sequence[str]:
    return [line.split()[0] for line in output.splitlines() if line.split()[1:2] in (["staff"], ["member"])]


def test_it_goes_on_until_the_store_is_there(gateway: Gateway, facegrid: Facegrid) -> None:
    gateway.answers = [
        answer("staging", done=400, left=412),
        problem(503, "ENCODER_BUSY", retry_after="99"),
        answer("flipping", done=812),
        answer("done", space="arcface-r50-v1", flipped=True, **WHOLE),
    ]
    code, output = facegrid("--to", "arcface-r50-v1")
    assert (code, "Store vienna-1 is in arcface-r50-v1: 812 faces." in output) == (0, True)
    assert gateway.asked == [{"to": "arcface-r50-v1", "leave_behind": False}] * 4


def test_who_has_no_thumbnail_is_named_and_it_ends_with_1(gateway: Gateway, facegrid: Facegrid) -> None:
    gateway.answers = [answer("photos_missing", without_thumbnail_count=2)]
    code, output = facegrid("--to", "arcface-r50-v1")
    assert (code, faces(output)) == (1, ["ada", "eve"])
    assert "--leave-behind" in output
    assert "stays in dlib-resnet-v1" in output


def test_who_is_left_behind_is_named_and_it_ends_well(gateway: Gateway, facegrid: Facegrid) -> None:
    done = {"space": "arcface-r50-v1", "flipped": True, "without_thumbnail_count": 2}
    gateway.answers = [answer("done", **done)]
    code, output = facegrid("--to", "arcface-r50-v1", "--leave-behind")
    assert (code, faces(output), gateway.asked[0]["leave_behind"]) == (0, ["ada", "eve"], True)
    assert "810 faces" in output


def test_without_a_space_it_only_says_how_it_stands(gateway: Gateway, facegrid: Facegrid) -> None:
    code, output = facegrid()
    assert (code, faces(output), gateway.asked) == (0, ["ada", "eve"], [])
    assert facegrid("--leave-behind")[0] == 2


def test_sightings_that_never_settle_end_it(
    gateway: Gateway, facegrid: Facegrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "STILL_S", 0.0)
    gateway.answers = [answer("sightings_wait", sightings_waiting=3, **WHOLE)] * 5
    code, output = facegrid("--to", "arcface-r50-v1")
    assert (code, "3 sightings of store vienna-1 wait" in output) == (1, True)


def test_another_refusal_is_said_as_it_is(gateway: Gateway, facegrid: Facegrid) -> None:
    gateway.answers = [problem(422, "UNKNOWN_SPACE", "to")]
    code, output = facegrid("--to", "none-such")
    assert (code, "UNKNOWN_SPACE" in output) == (1, True)
