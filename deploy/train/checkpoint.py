"""A run's state after an epoch, as one file that is replaced in one step: a kill costs the epoch that ran, no more.

It is a NumPy archive of plain arrays, of which one is JSON. Rejected: torch's own files, which are pickles; reading a
pickle can run what it says, and a run's folder may come from somebody else. No state of a random generator is kept:
every epoch draws from a seed of its own (loop.py), so a resumed run goes on as an uninterrupted one would have.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch

from common.errors import CannotTrain
from deploy.train.history import Epoch
from deploy.train.private import write
from deploy.train.recipe import Recipe

META = "meta"
STATES = ("network", "classifier", "momentum")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    recipe: dict[str, Any]
    fingerprint: str
    """of the photos"""
    history: list[Epoch]
    """the first is the untrained network's"""
    network: dict[str, Any]
    """name → tensor, as state_dict gives them; the others too"""
    classifier: dict[str, Any]
    momentum: dict[str, Any]
    """number of the parameter → its momentum"""


def save(path: Path, checkpoint: Checkpoint) -> None:
    meta = {
        "recipe": checkpoint.recipe,
        "fingerprint": checkpoint.fingerprint,
        "history": [epoch.to_dict() for epoch in checkpoint.history],
    }
    arrays = {
        f"{state}/{name}": tensor.detach().cpu().numpy()
        for state in STATES
        for name, tensor in getattr(checkpoint, state).items()
    }
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **{META: np.array(json.dumps(meta))} | arrays)
    write(path, file.getvalue())


def load(path: Path) -> Checkpoint | None:
    """None where there is none yet. Raises CannotTrain if the file is damaged or no checkpoint."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            meta = json.loads(str(archive[META]))
            tensors = {name: torch.from_numpy(archive[name]) for name in archive.files if name != META}
        states = {state: _of(tensors, f"{state}/") for state in STATES}
        history = [Epoch.from_dict(epoch) for epoch in meta["history"]]
        return Checkpoint(dict(meta["recipe"]), meta["fingerprint"], history, **states)
    except FileNotFoundError:
        return None
    except (BadZipFile, ValueError, KeyError, TypeError, EOFError) as error:
        detail = f"{path} is no checkpoint of a run, or damaged ({error}). Choose another folder."
        raise CannotTrain(detail, field="out") from None


def of_run(path: Path, recipe: Recipe) -> Checkpoint | None:
    """The checkpoint of an earlier start of this run. Raises CannotTrain also where that had another recipe."""
    found = load(path)
    if found is not None:
        recipe.check_same(found.recipe)
    return found


def _of(tensors: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
