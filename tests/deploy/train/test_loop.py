"""Training on made faces: it learns, and a run that is killed ends as one that is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.errors import CannotTrain
from tests.conftest import REPOSITORY
from tests.deploy.train.made import NO_TORCH, RECIPE, faces

torch = pytest.importorskip("torch", reason=NO_TORCH)

from deploy.train.checkpoint import load  # noqa: E402
from deploy.train.history import Epoch  # noqa: E402
from deploy.train.loop import Data, Training, device_of, schedule  # noqa: E402
from deploy.train.recipe import Machine, Recipe  # noqa: E402

MACHINE = Machine("cpu", threads=1)
DATA = Data(faces(people=8, photos=5, seed=0), faces(people=7, photos=4, seed=1))


def training(path: Path, recipe: Recipe = RECIPE, data: Data = DATA) -> Training:
    return Training(recipe, data, path / "checkpoint.npz", MACHINE)


def weights(of: Training) -> dict[str, Any]:
    return {name: tensor.clone() for name, tensor in of.network.state_dict().items()}


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Training:
    """A run that nothing interrupted."""
    found = training(tmp_path_factory.mktemp("whole"))
    found.run(lambda _: None)
    return found


def test_every_epoch_is_reported_once_it_is_on_disk(tmp_path: Path) -> None:
    heard: list[int] = []

    def hear(epoch: Epoch) -> None:
        heard.append(epoch.number)
        kept = load(tmp_path / "checkpoint.npz")
        assert kept is not None
        assert kept.history[-1] == epoch

    run = training(tmp_path)
    run.run(hear)
    assert heard == [0, 1, 2, 3, 4]
    assert run.history[0].losses is None
    assert all(epoch.losses is not None for epoch in run.history[1:])


def test_a_run_learns(tmp_path: Path) -> None:
    run = training(tmp_path, replace(RECIPE, epochs=10))
    run.run(lambda _: None)
    first, last = run.history[1].losses, run.history[-1].losses
    assert first is not None
    assert last is not None
    assert last.classifier < first.classifier
    assert last.triplet * last.active < first.triplet * first.active


class Enough(Exception):
    """Ends a run, as a kill would, right after an epoch."""


@pytest.mark.parametrize("after", [0, 2])
def test_a_run_goes_on_bit_by_bit_where_it_ended(whole: Training, tmp_path: Path, after: int) -> None:
    def stop(epoch: Epoch) -> None:
        if epoch.number == after:
            raise Enough

    with pytest.raises(Enough):
        training(tmp_path).run(stop)
    resumed = training(tmp_path)
    assert resumed.done == after
    resumed.run(lambda _: None)
    assert same(weights(resumed), weights(whole))
    assert [epoch.losses for epoch in resumed.history] == [epoch.losses for epoch in whole.history]
    assert np.array_equal(resumed.embed(DATA.validation), whole.embed(DATA.validation))


KILLED = """
from tests.deploy.train.test_loop import MACHINE, DATA, RECIPE, Training, Path
def hear(epoch):
    print(epoch.number, flush=True)
Training(RECIPE, DATA, Path({path!r}), MACHINE).run(hear)
"""


def test_a_process_killed_while_it_trains_loses_at_most_the_epoch_that_ran(whole: Training, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.npz"
    with subprocess.Popen(
        [sys.executable, "-c", KILLED.format(path=str(path))], stdout=subprocess.PIPE, cwd=REPOSITORY
    ) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == [b"0\n", b"1\n"]
        os.kill(process.pid, signal.SIGKILL)
    resumed = training(tmp_path)
    assert resumed.done >= 1
    resumed.run(lambda _: None)
    assert same(weights(resumed), weights(whole))


def test_a_run_that_is_done_is_not_trained_again(whole: Training) -> None:
    before = weights(whole)
    whole.run(lambda _: pytest.fail("an epoch too many"))
    assert same(weights(whole), before)


def test_another_recipe_or_other_photos_are_refused(whole: Training, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.npz").write_bytes(whole.path.read_bytes())
    with pytest.raises(CannotTrain, match=r"margin 0\.2, not 0\.3") as caught:
        training(tmp_path, replace(RECIPE, margin=0.3))
    assert (caught.value.field, caught.value.limit) == ("margin", 0.2)
    with pytest.raises(CannotTrain, match="photos"):
        training(tmp_path, data=Data(faces(8, 5, seed=2), DATA.validation))


def test_a_loss_that_is_no_number_ends_the_run_and_the_checkpoint_stays(tmp_path: Path) -> None:
    run = training(tmp_path, replace(RECIPE, learning_rate=1e30))
    with pytest.raises(CannotTrain, match="lower learning rate"):
        run.run(lambda _: None)
    assert training(tmp_path, replace(RECIPE, learning_rate=1e30)).done < RECIPE.epochs


@pytest.mark.parametrize("device", ["cuda:99", "quantum", "meta"])
def test_a_device_that_cannot_compute_here_is_named_in_one_line(device: str) -> None:
    with pytest.raises(CannotTrain, match=device) as caught:
        device_of(Machine(device))
    assert "\n" not in caught.value.detail


@pytest.mark.parametrize("key", ["99999", "x", "0"])
def test_momentum_that_does_not_fit_the_network_is_refused(whole: Training, tmp_path: Path, key: str) -> None:
    with np.load(whole.path) as archive:
        arrays = dict(archive)
    np.savez(tmp_path / "checkpoint.npz", **arrays | {f"momentum/{key}": np.ones(3, dtype=np.float32)})
    with pytest.raises(CannotTrain, match="not of this recipe"):
        training(tmp_path)


def test_the_learning_rate_rises_and_falls() -> None:
    rates = [schedule(step / 100) for step in range(101)]
    assert rates[0] == 0
    assert max(rates) == rates[5] == 1
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert rates[100] == pytest.approx(0)
