"""Batches of P people × K photos."""

from __future__ import annotations

import numpy as np
import pytest

from deploy.train.batches import batch_count, epoch

PEOPLE = np.repeat(np.arange(10), [2, 3, 4, 5, 6, 7, 8, 9, 10, 11])


def test_a_batch_has_the_people_and_photos_asked_for_and_none_twice() -> None:
    for batch in epoch(PEOPLE, 4, 2, np.random.default_rng(0)):
        assert len(set(batch.tolist())) == len(batch) == 8
        assert np.unique(PEOPLE[batch], return_counts=True)[1].tolist() == [2] * 4


def test_a_person_of_few_photos_brings_all_of_them_once() -> None:
    for batch in epoch(PEOPLE, 10, 5, np.random.default_rng(0)):
        assert np.unique(PEOPLE[batch], return_counts=True)[1].tolist() == [2, 3, 4, 5, 5, 5, 5, 5, 5, 5]


def test_everybody_comes_up_equally_often() -> None:
    random = np.random.default_rng(1)
    batches = [batch for _ in range(10) for batch in epoch(PEOPLE, 5, 2, random)]
    times = np.bincount(np.concatenate([np.unique(PEOPLE[batch]) for batch in batches]))
    assert times.min() >= times.max() - 10
    assert times.sum() == 5 * len(batches)


def test_an_epoch_shows_as_many_faces_as_there_are_photos() -> None:
    assert batch_count(len(PEOPLE), 4, 2) == 9
    assert len(list(epoch(PEOPLE, 4, 2, np.random.default_rng(0)))) == 9


def test_fewer_people_than_a_batch_asks_for_all_come() -> None:
    batches = list(epoch(np.array([0, 0, 1, 1]), 12, 4, np.random.default_rng(0)))
    assert [sorted(batch.tolist()) for batch in batches] == [[0, 1, 2, 3]]


@pytest.mark.parametrize("seed", [0, 1])
def test_the_seed_decides_the_batches(seed: int) -> None:
    def drawn(other: int) -> list[list[int]]:
        return [batch.tolist() for batch in epoch(PEOPLE, 4, 2, np.random.default_rng(other))]

    assert drawn(seed) == drawn(seed)
    assert drawn(seed) != drawn(seed + 1)
