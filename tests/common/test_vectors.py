"""Embeddings are checked where they enter: dimension, finiteness, direction; errors name the row."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import NotFinite, WrongDimension, ZeroVector
from common.vectors import distance, mean_row, unit_rows, unit_rows_from_bytes


@given(st.integers(0, 10_000), st.floats(1e-3, 1e3))
def test_rows_have_unit_length_whatever_their_scale(seed: int, scale: float) -> None:
    rows = unit_rows(np.random.default_rng(seed).normal(size=(3, 128)) * scale, 128)
    assert rows.dtype == np.float32
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e39])
def test_a_number_that_float32_cannot_hold_is_refused_with_its_row(bad: float) -> None:
    rows = np.ones((3, 128))
    rows[1, 7] = bad
    with pytest.raises(NotFinite, match=r"embeddings\[1\]"):
        unit_rows(rows, 128)


def test_a_vector_without_direction_is_refused() -> None:
    with pytest.raises(ZeroVector, match=r"embeddings\[0\]"):
        unit_rows(np.zeros((1, 128)), 128)
    with pytest.raises(ZeroVector):
        mean_row(np.array([[1.0, 0.0], [-1.0, 0.0]], dtype=np.float32))


@pytest.mark.parametrize("size", [0, 4, 511, 513, 516])
def test_bytes_that_are_no_whole_embeddings_are_refused(size: int) -> None:
    with pytest.raises(WrongDimension):
        unit_rows_from_bytes(b"\x01" * size, 128)


def test_wrong_dimension_names_the_right_one() -> None:
    with pytest.raises(WrongDimension) as caught:
        unit_rows(np.ones((1, 127)), 128)
    assert caught.value.limit == 128


def test_distance_is_euclidean_between_unit_vectors() -> None:
    one, other = unit_rows(np.random.default_rng(5).normal(size=(2, 128)), 128)
    assert distance(float(one @ other)) == pytest.approx(float(np.linalg.norm(one - other)), abs=1e-5)
    assert distance(1.0000001) == 0.0


@given(st.integers(0, 10_000), st.sampled_from([1e-3, 1.0, 1.0 + 5e-7, 1e3]), st.sampled_from([2, 128, 512]))
def test_a_row_by_itself_is_read_as_among_others_to_the_bit(seed: int, scale: float, dimension: int) -> None:
    drawn = np.random.default_rng(seed).normal(size=(2, dimension))
    rows = (unit_rows(drawn, dimension) * scale).astype("<f4")
    among = unit_rows_from_bytes(rows.tobytes(), dimension)
    assert unit_rows_from_bytes(rows[:1].tobytes(), dimension).tobytes() == among[:1].tobytes()
    assert unit_rows(rows[:1], dimension).tobytes() == among[:1].tobytes()


def test_one_row_of_bytes_is_checked_like_many() -> None:
    for bad, error in ((np.nan, NotFinite), (np.inf, NotFinite), (0.0, ZeroVector)):
        with pytest.raises(error):
            unit_rows_from_bytes(np.full(128, bad, dtype="<f4").tobytes(), 128)


def test_rows_of_unit_length_stay_the_same_to_the_bit() -> None:
    rows = unit_rows(np.random.default_rng(0).normal(size=(500, 128)), 128)
    assert unit_rows(rows, 128).tobytes() == rows.tobytes()
    assert unit_rows_from_bytes(rows.tobytes(), 128).tobytes() == rows.tobytes()
    read_again = [[float(f"{number:.9g}") for number in row] for row in rows.tolist()]
    assert unit_rows(read_again, 128).tobytes() == rows.tobytes()
    assert mean_row(rows[:1]).tobytes() == rows[0].tobytes()
