"""Semi-hard triplets against a plain loop, and what the loss makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deploy.measure.labelled import Floats
from tests.deploy.train.made import NO_TORCH

torch = pytest.importorskip("torch", reason=NO_TORCH)

from deploy.train.losses import semi_hard, squared_distances, triplet_loss  # noqa: E402


def unit_rows(seed: int, count: int, dimension: int = 8) -> Any:
    rows = np.random.default_rng(seed).normal(size=(count, dimension))
    return torch.from_numpy(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def mined_plainly(distances: Floats, people: list[int]) -> set[tuple[int, int, int]]:
    found = set()
    for a, who in enumerate(people):
        strangers = [n for n, other in enumerate(people) if other != who]
        for p in (p for p, other in enumerate(people) if other == who and p != a):
            beyond = [n for n in strangers if distances[a, n] > distances[a, p]]
            if beyond:
                negative = min(beyond, key=lambda n: distances[a, n])
            else:
                negative = max(strangers, key=lambda n: distances[a, n])
            found.add((a, p, negative))
    return found


@pytest.mark.parametrize("seed", range(5))
def test_the_triplets_mined_are_those_of_a_plain_loop(seed: int) -> None:
    people = [int(person) for person in np.random.default_rng(seed).integers(0, 5, 20)]
    distances = squared_distances(unit_rows(seed, 20))
    triplets = semi_hard(distances, torch.tensor(people))
    mined = {tuple(int(at[nth]) for at in triplets) for nth in range(len(triplets.anchors))}
    assert mined == mined_plainly(distances.numpy(), people)
    assert len(mined) == len(triplets.anchors)


def test_where_every_stranger_is_nearer_the_farthest_is_taken() -> None:
    angles = torch.tensor([0.0, 3.0, 0.5, 1.0])
    rows = torch.stack([angles.cos(), angles.sin()], dim=1)
    triplets = semi_hard(squared_distances(rows), torch.tensor([7, 7, 8, 9]))
    assert triplets.anchors.tolist() == [0, 1]
    assert triplets.negatives.tolist() == [3, 2]


def test_distances_are_squared_and_euclidean() -> None:
    rows = unit_rows(1, 6)
    assert torch.allclose(squared_distances(rows), torch.cdist(rows, rows) ** 2, atol=1e-9)


def test_people_far_apart_have_no_loss_and_people_mixed_up_have_one() -> None:
    people = torch.tensor([0, 0, 1, 1])
    apart = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0]])
    none = triplet_loss(apart, people, 0.2)
    assert (none.loss.item(), none.active) == (0, 0)
    mixed = triplet_loss(apart[[0, 2, 1, 3]], people, 0.2)
    assert float(mixed.loss) == pytest.approx(0.2)
    assert mixed.active == 1.0


def test_the_loss_is_the_mean_of_the_triplets_that_violate_the_margin() -> None:
    rows, people, margin = unit_rows(2, 12), torch.arange(12) % 3, 0.2
    distances = squared_distances(rows).numpy()
    wanted = [
        violation
        for a, p, n in mined_plainly(distances, people.tolist())
        if (violation := distances[a, p] - distances[a, n] + margin) > 0
    ]
    found = triplet_loss(rows, people, margin)
    assert float(found.loss) == pytest.approx(np.mean(wanted))
    assert found.active == pytest.approx(len(wanted) / (12 * 3))


def test_a_step_against_the_gradient_brings_the_loss_down() -> None:
    rows, people = unit_rows(3, 12).requires_grad_(), torch.arange(12) % 3
    before = triplet_loss(torch.nn.functional.normalize(rows, dim=1), people, 0.2).loss
    torch.autograd.backward(before)
    assert rows.grad is not None
    moved = torch.nn.functional.normalize(rows.detach() - 0.05 * rows.grad, dim=1)
    assert triplet_loss(moved, people, 0.2).loss.item() < before.item()
