"""One run, from photos to a model that a gateway serves; its folder holds all of it.

RUN/checkpoint.npz   the state after the last whole epoch; where there is one, the run goes on from it
RUN/faces/           the faces cut out, while it trains
RUN/history.json     every epoch's figures
RUN/training.png     the same as curves
RUN/export/          what FACEGRID_MODELS may name: the ONNX file and its manifest
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from common.settings import EncoderSettings
from deploy.train.checkpoint import of_run
from deploy.train.export import Exported, export
from deploy.train.faces import Cut, cut_faces
from deploy.train.history import Epoch
from deploy.train.loop import Data, Training
from deploy.train.photos import Collection
from deploy.train.plots import curves
from deploy.train.private import write
from deploy.train.recipe import Machine, Recipe
from deploy.train.validation import Split, split

FACES, CHECKPOINT, HISTORY, PLOT, EXPORT = "faces", "checkpoint.npz", "history.json", "training.png", "export"
DRAWN_EVERY_S = 15.0
"""drawing takes as long as an epoch of a small set"""


@dataclass(frozen=True, eq=False)
class Prepared:
    cut: Cut
    split: Split
    data: Data


def prepare(
    photos: Collection, folder: Path, recipe: Recipe, settings: EncoderSettings, done: Callable[[], object]
) -> Prepared:
    """Cut out the faces and deal the people.

    Raises CannotTrain where they are too few, or the folder holds another run, and what `cut_faces` raises.
    """
    of_run(folder / CHECKPOINT, recipe)
    cut = cut_faces(photos, folder / FACES, recipe, settings, done)
    found = split(cut.faces.people, recipe.hold_out, recipe.seed)
    return Prepared(cut, found, Data(cut.faces.only(found.train), cut.faces.only(found.validation)))


def start(prepared: Prepared, folder: Path, recipe: Recipe, machine: Machine) -> Training:
    """A new run, or the one that the folder holds. Raises what `Training` raises."""
    return Training(recipe, prepared.data, folder / CHECKPOINT, machine)


def train(training: Training, folder: Path, title: str, report: Callable[[Epoch], object]) -> None:
    """Train what is missing, and keep the figures and curves up to date; `report` hears of each epoch."""
    drawn = time.monotonic()

    def record(epoch: Epoch) -> None:
        nonlocal drawn
        report(epoch)
        if time.monotonic() - drawn > DRAWN_EVERY_S:
            _draw(training, folder, title)
            drawn = time.monotonic()

    training.run(record)
    _draw(training, folder, title)


def finish(training: Training, prepared: Prepared, folder: Path, recipe: Recipe, keep_faces: bool) -> Exported:
    """Publish the network in the folder's `export`; then the faces go, unless they are to be kept."""
    held_out = prepared.data.validation
    exported = export(training.network, recipe, held_out, training.embed(held_out), folder / EXPORT)
    if not keep_faces:
        shutil.rmtree(folder / FACES)
    return exported


def _draw(training: Training, folder: Path, title: str) -> None:
    history = [epoch.to_dict() for epoch in training.history]
    write(folder / HISTORY, (json.dumps(history, indent=2) + "\n").encode())
    write(folder / PLOT, curves(training.history, title))
