"""`facegrid train` from photos to a model, on invented shoppers; and what it says where it cannot."""

from __future__ import annotations

import importlib.util
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from deploy.cli.options import FriendlyGroup
from deploy.cli.train import train
from gateway.encoder.decode import decode
from gateway.encoder.manifest import read_models
from tests.deploy.train.made import NO_TORCH, SIZE, faces

app = typer.Typer(cls=FriendlyGroup)
app.command()(train)
app.command("other")(lambda: None)  # so that `train` is named, as in facegrid


def facegrid(*arguments: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["train", *map(str, arguments)], env={"COLUMNS": "200"})
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """20 people with four patterns each: photos, but without a face."""
    made = faces(people=20, photos=4)
    for at, (pixels, person) in enumerate(zip(made.stored, made.people, strict=True)):
        folder = tmp_path / "people" / f"p{person:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{at}.png")
    return tmp_path / "people"


def test_where_torch_is_not_installed_it_says_how_to_install_it(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec

    def without_torch(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == "torch" else find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without_torch)
    assert ".venv/bin/pip install torch" in facegrid(people, "--out", tmp_path / "run", code=1)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--space", "dlib-resnet-v1"), "dlib's own space"),
        (("--backbone", "inception-resnet-v1", "--size", "64"), "80 pixels or more"),
    ],
)
def test_what_cannot_be_is_said_before_any_photo_is_read(
    people: Path, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    pytest.importorskip("torch", reason=NO_TORCH)
    assert said in facegrid(people, "--out", tmp_path / "run", *arguments, code=1)
    assert not (tmp_path / "run").exists()


def test_photos_become_a_model_and_the_faces_go(people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The patterns stand in for faces: all of a picture is taken for one. Real ones are cut in test_faces."""
    pytest.importorskip("torch", reason=NO_TORCH)
    from deploy.train import faces as cutting  # noqa: PLC0415

    def whole_picture(jobs: list[Any], _workers: int) -> list[Any]:
        return [decode(job.path.read_bytes(), job.settings) for job in jobs]

    monkeypatch.setattr(cutting, "_in_processes", whole_picture)
    run = tmp_path / "run"
    options = ("--size", SIZE, "--width", 0.125, "--dimension", 16, "--epochs", 2, "--hold-out", 0.5, "--threads", 1)
    shown = facegrid(people, "--out", run, "--space", "made-v1", *options)
    assert "40 faces of 10 people to train on; 40 of 10 other people are held out" in shown
    assert "Training mobilenet-v1 on cpu." in shown
    assert "epoch 2" in shown
    assert f"FACEGRID_MODELS={run / 'export'} facegrid up" in shown
    assert read_models(str(run / "export")).encoders["made-v1"].curve is not None
    assert sorted(path.name for path in run.iterdir()) == [
        "checkpoint.npz",
        "export",
        "history.json",
        "lock",
        "training.png",
    ]
    assert "All 2 epochs are trained." in facegrid(people, "--out", run, "--space", "made-v1", *options)
    refused = facegrid(people, "--out", run, "--space", "made-v1", *options, "--seed", 5, code=1)
    assert "started with seed 0, not 5" in refused
