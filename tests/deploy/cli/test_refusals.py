"""What is said of requests that a gateway refuses: which photo it was, and whether to run the command again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest
from typer.testing import CliRunner

from deploy.cli import bulk, enrol, search
from deploy.cli.app import app
from tests.deploy.cli.test_commands import Ended
from tests.deploy.client.faults import Handler, client_of, problem

AGAIN = "Not finished: run the same command again, it continues."
Facegrid = Callable[..., Ended]


@pytest.fixture
def facegrid(monkeypatch: pytest.MonkeyPatch) -> Facegrid:
    """The command line with a gateway that answers writes and searches with `refusal`."""

    def run(refusal: httpx.Response, *arguments: object) -> Ended:
        for command in (bulk, enrol, search):
            monkeypatch.setattr(command, "connect", lambda *_: client_of(answering(refusal)))
        done = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "80"})
        return Ended(done.exit_code, done.stdout, done.stderr)

    return run


def answering(refusal: httpx.Response) -> Handler:
    def handler(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={"stores": [{"store": "vienna"}], "faces": [], "cursor": None})
        return refusal

    return handler


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / who / "1.jpg" for who in ("ada", "bob")]
    for path in paths:
        path.parent.mkdir()
        path.write_bytes(b"pixels")
    return paths


def test_the_photo_that_a_search_refuses_is_named_by_its_path(facegrid: Facegrid, photos: list[Path]) -> None:
    refusal = problem(422, "NO_FACE", "image[1]")
    assert facegrid(refusal, "search", *photos, "--store", "vienna").err == f"error: {photos[1]} no_face. [NO_FACE]\n"


def test_the_photo_that_a_comparison_refuses_is_named_even_if_the_detail_names_none(
    facegrid: Facegrid, photos: list[Path]
) -> None:
    refusal = problem(422, "TRUNCATED_IMAGE", "image[0]", detail="The photo ends early.")
    said = facegrid(refusal, "verify", *photos).err
    assert said == f"error: {photos[0]}: The photo ends early. [TRUNCATED_IMAGE]\n"


def test_what_is_not_about_a_photo_is_said_as_it_is(facegrid: Facegrid, photos: list[Path]) -> None:
    assert (
        "error: store unknown_store. [UNKNOWN_STORE]"
        in facegrid(problem(404, "UNKNOWN_STORE", "store"), "search", *photos, "--store", "graz").err
    )
    assert "image[7]" in facegrid(problem(422, "NO_FACE", "image[7]"), "verify", *photos).err


@pytest.mark.parametrize(
    ("refusal", "again"),
    [
        (problem(503, "TRUTH_UNAVAILABLE", outcome="unknown"), True),
        (problem(504, "DEADLINE_EXCEEDED"), True),
        (problem(422, "WRONG_SPACE", "space", row=0), False),
        (problem(401, "UNAUTHORIZED"), False),
    ],
)
def test_to_import_again_is_advised_only_where_that_may_help(
    facegrid: Facegrid, tmp_path: Path, refusal: httpx.Response, again: bool
) -> None:
    np.savez(tmp_path / "faces.npz", embeddings=np.ones((2, 128), dtype=np.float32))
    ended = facegrid(refusal, "import", tmp_path / "faces.npz", "--store", "vienna")
    assert ended.code == 1
    assert (AGAIN in ended.out) == again


def test_people_whose_answer_never_came_are_not_confirmed(facegrid: Facegrid, photos: list[Path]) -> None:
    ended = facegrid(problem(503, "TRUTH_UNAVAILABLE", outcome="unknown"), "enrol", "vienna", photos[0].parent.parent)
    assert [line.split() for line in ended.out.splitlines() if "confirmed" in line] == [["not", "confirmed", "2", "-"]]
    assert AGAIN in ended.out
    assert AGAIN not in facegrid(problem(401, "UNAUTHORIZED"), "enrol", "vienna", photos[0].parent.parent).out
