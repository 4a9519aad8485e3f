"""The generator: its rows do not depend on how many are drawn, and lie as real embeddings do."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.bench import faces
from tests.bench.faces import Faces
from tests.bench.fit import FIGURES, figures, fitted, read

REAL = Path(__file__).parents[3] / "shared/embeddings/lfw_dlib_dev.npz"


def test_a_row_does_not_depend_on_how_many_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faces, "BLOCK", 100)
    made = Faces.load()
    rows = made.rows(250, seed=3)
    assert np.allclose(made.rows(120, seed=3), rows[:120], atol=1e-6)  # a product of another size rounds otherwise
    assert np.array_equal(np.concatenate(list(made.blocks(250, seed=3))), rows)
    assert not np.isclose(rows[:100], rows[100:200]).all(axis=1).any()
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)


def test_known_probes_are_of_the_people_behind_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faces, "BLOCK", 100)
    made = Faces.load()
    rows, numbers = made.rows(250, seed=3), np.array([249, 7, 120, 7])
    assert np.allclose(made.enrolled(numbers, seed=3), rows[numbers], atol=1e-6)
    found = made.known(numbers, seed=3, again=8) @ rows.T
    assert found.argmax(axis=1).tolist() == numbers.tolist()
    assert (made.strangers(50, seed=4) @ rows.T).max() < found.max(axis=1).min()


@pytest.mark.skipif(not REAL.is_file(), reason="the real embeddings are not beside the checkout")
def test_generated_people_lie_as_the_real_ones_do() -> None:
    told = json.loads(FIGURES.read_text())
    now = figures(read(REAL), Faces.load())
    for of in ("real", "generated"):
        assert now[of].keys() == told[of].keys()
        for what, scores in now[of].items():
            assert scores == pytest.approx(told[of][what], rel=5e-4), (of, what)
    nearest = "nearest stranger at 10, 50, 90%"
    assert told["generated"][nearest] == pytest.approx(told["real"][nearest], abs=0.0035)
    hardness = "local intrinsic dimension at 10, 50, 90%"
    assert (np.array(told["generated"][hardness]) >= told["real"][hardness]).all(), "easier for an index than real ones"


@pytest.mark.skipif(not REAL.is_file(), reason="the real embeddings are not beside the checkout")
def test_the_fit_can_be_made_again() -> None:
    """Nearly: how another processor rounds decides in which of many equally good mixtures it ends."""
    real = read(REAL)
    told, again = json.loads(FIGURES.read_text())["generated"], figures(real, fitted(real))["generated"]
    assert again.keys() == told.keys()
    for what, values in again.items():
        off = 0.05 * told[what][0] if "dimension" in what else 0.002  # scores of one Gaussian are 0.005 too low
        assert values == pytest.approx(told[what], abs=off), what
