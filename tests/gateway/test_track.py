"""Tracks: photos of one person become one probe, photos of two are refused with their scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from common.errors import MixedTrack
from common.types import Vectors
from common.vectors import mean_row, unit_rows
from gateway.track import DLIB_LEAST_ALIKE, check_one_person, scores

REAL = Path(__file__).parents[2] / "../shared/embeddings/lfw_dlib_dev.npz"
LIMIT = DLIB_LEAST_ALIKE


def two_alike(score: float) -> Vectors:
    """Two unit rows that score `score`."""
    rows = np.zeros((2, 128))
    rows[0, 0] = 1.0
    rows[1, :2] = score, np.sqrt(1 - score**2)
    return unit_rows(rows, 128)


def test_one_photo_is_its_own_probe() -> None:
    row = two_alike(1.0)[:1]
    np.testing.assert_allclose(check_one_person(row, LIMIT), row[0], atol=1e-7)


def test_the_probe_is_the_unit_mean_of_the_photos() -> None:
    rows = two_alike(0.95)
    probe = check_one_person(rows, LIMIT)
    assert probe.shape == (128,)
    assert np.linalg.norm(probe) == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_array_equal(probe, mean_row(rows))


@pytest.mark.parametrize(("score", "refused"), [(LIMIT + 1e-4, False), (LIMIT - 1e-4, True)])
def test_the_least_alike_pair_decides_at_the_limit(score: float, refused: bool) -> None:
    rows = np.vstack([two_alike(score), two_alike(1.0)])
    if not refused:
        check_one_person(rows, LIMIT)
        return
    with pytest.raises(MixedTrack):
        check_one_person(rows, LIMIT)


def test_a_refusal_names_the_field_the_pair_and_each_photos_score() -> None:
    rows = np.vstack([two_alike(0.5), two_alike(1.0)[:1]])
    with pytest.raises(MixedTrack) as caught:
        check_one_person(rows, LIMIT, field="image")
    problem = caught.value.problem()
    assert (problem["status"], problem["code"], problem["field"], problem["limit"]) == (
        422,
        "MIXED_TRACK",
        "image",
        0.88,
    )
    assert problem["scores"] == pytest.approx([0.866, 0.5, 0.866], abs=1e-4)
    assert problem["pair"] == [0, 1]
    assert "Photos 0 and 1" in problem["detail"]


def test_opposite_photos_are_refused_and_their_scores_stay_numbers() -> None:
    rows = unit_rows([[1.0] * 128, [-1.0] * 128, [1.0] * 128], 128)
    with pytest.raises(MixedTrack):
        check_one_person(rows, LIMIT)
    assert np.isfinite(scores(rows)).all()


@pytest.fixture(scope="module")
def people() -> list[Vectors]:
    """Real embeddings, one array a person with two photos or more."""
    if not REAL.is_file():
        pytest.skip("the file of real embeddings is not beside the checkout")
    with np.load(REAL) as data:
        rows, person = unit_rows(data["embeddings"], 128), data["person"]
    return [rows[person == one] for one in np.unique(person) if np.count_nonzero(person == one) > 1]


def refused(tracks: list[Vectors]) -> float:
    """Which share of the tracks is taken for more than one person."""

    def is_mixed(track: Vectors) -> bool:
        try:
            check_one_person(track, LIMIT)
        except MixedTrack:
            return True
        return False

    return sum(map(is_mixed, tracks)) / len(tracks)


def drawn(photos: Vectors, count: int, rng: np.random.Generator) -> Vectors:
    return photos[rng.choice(len(photos), count, replace=False)]


def test_real_photos_of_one_person_are_taken_for_one_person(people: list[Vectors]) -> None:
    rng = np.random.default_rng(7)
    tracks = [drawn(p, n, rng) for n in range(2, 6) for p in people if len(p) >= n for _ in range(3)]
    assert len(tracks) > 4000
    assert refused(tracks) < 0.005


@pytest.mark.parametrize(("of_one", "of_other", "least"), [(1, 1, 0.88), (2, 1, 0.92), (2, 2, 0.95), (3, 2, 0.95)])
def test_real_photos_of_two_people_are_refused(people: list[Vectors], of_one: int, of_other: int, least: float) -> None:
    rng = np.random.default_rng(7)
    able = [p for p in people if len(p) >= max(of_one, of_other)]
    pairs = [rng.choice(len(able), 2, replace=False) for _ in range(2000)]
    tracks = [np.vstack([drawn(able[a], of_one, rng), drawn(able[b], of_other, rng)]) for a, b in pairs]
    assert refused(tracks) > least
