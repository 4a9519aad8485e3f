"""Thresholds: the published points are met, and more rows never lower the bar."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.types import DLIB_SPACE
from gateway.threshold import FMR_CURVES, HIGHEST, fmr_needed, score_at_fmr, threshold


@pytest.mark.parametrize(("score", "fmr"), FMR_CURVES[DLIB_SPACE])
def test_measured_points_are_met(score: float, fmr: float) -> None:
    assert score_at_fmr(DLIB_SPACE, fmr) == pytest.approx(score, abs=1e-9)


def test_half_way_between_two_points_in_log_fmr_is_half_way_in_score() -> None:
    assert score_at_fmr(DLIB_SPACE, 10**-2.5) == pytest.approx((0.9075 + 0.926) / 2)


def test_a_stranger_matches_anyone_with_the_target_chance() -> None:
    fmr = fmr_needed(1500, 0.01)
    assert 1 - (1 - fmr) ** 1500 == pytest.approx(0.01)


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.floats(1e-6, 0.5))
def test_more_rows_never_lower_the_threshold(rows: int, more: int, target: float) -> None:
    low, high = threshold(DLIB_SPACE, rows, target), threshold(DLIB_SPACE, rows + more, target)
    assert 0.9075 <= low <= high <= HIGHEST


@given(st.integers(1, 10**7), st.floats(1e-5, 0.2), st.floats(1e-5, 0.2))
def test_a_stricter_target_never_lowers_the_threshold(rows: int, one: float, other: float) -> None:
    strict, lenient = sorted((one, other))
    assert threshold(DLIB_SPACE, rows, strict) >= threshold(DLIB_SPACE, rows, lenient)
