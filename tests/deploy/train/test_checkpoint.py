"""A checkpoint is whole or refused, private, and never a pickle."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from common.errors import CannotTrain
from tests.deploy.train.made import NO_TORCH, RECIPE

torch = pytest.importorskip("torch", reason=NO_TORCH)

from deploy.train.checkpoint import Checkpoint, load, save  # noqa: E402
from deploy.train.history import Epoch, Losses  # noqa: E402
from deploy.train.validation import Validation  # noqa: E402

HISTORY = [
    Epoch(0, None, Validation(0.5, {0.1: 0.25, 0.01: 0.125}, 95, 1283), 0.0),
    Epoch(1, Losses(0.1, 0.75, 3.5), Validation(0.75, {0.1: 0.5, 0.01: 0.25}, 95, 1283), 1.5),
]
STATE = {"0.weight": torch.randn(3, 2), "1.num_batches_tracked": torch.tensor(7)}
SAVED = Checkpoint(RECIPE.to_dict(), "abc", HISTORY, STATE, {"weight": torch.ones(2)}, {"0": torch.zeros(1)})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save(tmp_path / "checkpoint.npz", SAVED)
    return tmp_path / "checkpoint.npz"


def test_what_is_saved_is_loaded(path: Path) -> None:
    found = load(path)
    assert found is not None
    assert (found.recipe, found.fingerprint, found.history) == (RECIPE.to_dict(), "abc", HISTORY)
    for state in ("network", "classifier", "momentum"):
        one, other = getattr(found, state), getattr(SAVED, state)
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_only_its_owner_can_read_it_and_nothing_is_left_beside_it(path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600
    assert [found.name for found in path.parent.iterdir()] == [path.name]


def test_where_nothing_was_saved_nothing_is_loaded(tmp_path: Path) -> None:
    assert load(tmp_path / "checkpoint.npz") is None


def test_half_a_file_beside_it_does_no_harm(path: Path) -> None:
    path.with_name(f"{path.name}.partial").write_bytes(b"half")
    save(path, SAVED)
    assert load(path) is not None
    assert [found.name for found in path.parent.iterdir()] == [path.name]


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def with_objects(path: Path) -> None:
    """An array of Python objects: reading it would unpickle."""
    np.savez(path, meta=np.array([print], dtype=object))


def without_history(path: Path) -> None:
    np.savez(path, meta=np.array("{}"))


def of_torch(path: Path) -> None:
    torch.save({"network": torch.ones(1)}, path)


@pytest.mark.parametrize("damage", [cut_short, flip_a_bit, with_objects, without_history, of_torch])
def test_a_damaged_or_foreign_file_is_refused(path: Path, damage: Callable[[Path], None]) -> None:
    damage(path)
    with pytest.raises(CannotTrain, match="no checkpoint of a run, or damaged") as caught:
        load(path)
    assert caught.value.field == "out"


def test_a_recipe_that_is_none_is_damage(path: Path) -> None:
    with np.load(path) as archive:
        arrays = dict(archive)
    meta = json.loads(str(arrays["meta"])) | {"recipe": [1]}
    np.savez(path, **arrays | {"meta": np.array(json.dumps(meta))})
    with pytest.raises(CannotTrain, match="damaged"):
        load(path)
