"""The split by person, and figures on embeddings whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from common.errors import CannotTrain
from common.types import Vectors
from deploy.train.validation import LEAST_STRANGERS, split, validate


def rows_of(people: int, photos: int, spread: float) -> tuple[Vectors, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Unit rows around a random direction for each person."""
    random = np.random.default_rng(0)
    middles = random.normal(size=(people, 32)).repeat(photos, axis=0)
    rows = middles + spread * random.normal(size=middles.shape)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit.astype(np.float32), np.arange(people).repeat(photos)


def test_nobody_is_both_trained_on_and_validated_with() -> None:
    people = np.repeat(np.arange(61), [1] + [4] * 60)
    found = split(people, 0.2, seed=3)
    trained, held = set(people[found.train].tolist()), set(people[found.validation].tolist())
    assert (len(trained), len(held), found.single) == (48, 12, 1)
    assert trained & held == set()
    assert len(found.train) + len(found.validation) == 240


def test_the_seed_decides_who_is_held_out() -> None:
    people = np.repeat(np.arange(60), 4)
    assert split(people, 0.2, 1).validation.tolist() == split(people, 0.2, 1).validation.tolist()
    assert split(people, 0.2, 1).validation.tolist() != split(people, 0.2, 2).validation.tolist()


def test_too_few_people_are_refused_with_what_is_needed() -> None:
    with pytest.raises(CannotTrain, match="8 are needed") as caught:
        split(np.repeat(np.arange(8), 5), 0.2, 0)
    assert (caught.value.field, caught.value.limit) == ("people", 8)
    with pytest.raises(CannotTrain, match=f"need {LEAST_STRANGERS}") as caught:
        split(np.repeat(np.arange(30), 2), 0.1, 0)
    assert (caught.value.field, caught.value.limit) == ("hold_out", LEAST_STRANGERS)


def test_people_far_apart_are_all_recognised() -> None:
    found = validate(*rows_of(20, 4, spread=0.01))
    assert (found.accuracy, found.tar) == (1.0, {0.1: 1.0, 0.01: 1.0})
    assert (found.same, found.different) == (20 * 6, 3160 - 20 * 6)


def test_noise_is_right_half_of_the_time_and_accepted_as_often_as_strangers_are() -> None:
    found = validate(*rows_of(100, 4, spread=1000))
    assert found.accuracy == pytest.approx(0.5, abs=0.07)
    assert found.tar[0.1] == pytest.approx(0.1, abs=0.05)
    assert min(found.tar) == 1e-3


def test_a_far_that_fewer_than_ten_pairs_are_behind_is_not_given() -> None:
    assert set(validate(*rows_of(6, 4, spread=0.5)).tar) == {0.1}
