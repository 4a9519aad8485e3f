"""Thresholds: the measured points are met, more rows or photos never lower the bar, and bad curves are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidCurve
from common.types import DLIB_SPACE, Candidate
from gateway.cut import Cut, cut_of
from gateway.fmr import HIGHEST, FmrCurve, Point, fmr_needed, threshold
from gateway.spaces import Spaces

DLIB = Spaces.load("").of(DLIB_SPACE).curve
CURVE = FmrCurve((Point(0.2, 1e-2, 0.8), Point(0.4, 1e-4, 0.5)), 0.8, 1000, 50, "made up")
photos = st.integers(1, 20)


@pytest.mark.parametrize("point", DLIB.points)
def test_measured_points_are_met(point: Point) -> None:
    assert DLIB.score_at(point.fmr) == pytest.approx(point.score, abs=1e-9)
    assert DLIB.fmr_at(point.score) == pytest.approx(point.fmr)


def test_half_way_between_two_points_in_log_fmr_is_half_way_in_score() -> None:
    assert CURVE.score_at(1e-3) == pytest.approx(0.3)
    assert CURVE.fmr_at(0.3) == pytest.approx(1e-3)


def test_beyond_the_points_the_last_slope_goes_on_to_a_bound_and_the_first_score_is_the_floor() -> None:
    assert CURVE.score_at(1e-6) == pytest.approx(0.6)
    assert CURVE.score_at(1e-300) == HIGHEST
    assert CURVE.score_at(0.5) == 0.2
    assert CURVE.fmr_at(0.9) == 1e-4
    assert CURVE.fmr_at(-1.0) == 1e-2


def test_what_was_not_measured_is_not_supported() -> None:
    assert CURVE.supports(1e-4)
    assert not CURVE.supports(0.99e-4)
    assert DLIB.supports(fmr_needed(10_000, 0.01))
    assert not DLIB.supports(fmr_needed(1_000_000, 0.01))


def test_a_stranger_matches_anyone_with_the_target_chance() -> None:
    fmr = fmr_needed(1500, 0.01)
    assert 1 - (1 - fmr) ** 1500 == pytest.approx(0.01)


def test_means_of_photos_shift_the_curve_by_the_lengths_of_the_means() -> None:
    """r(3) = sqrt((1 + 2 * 0.8) / 3), r(2) = sqrt((1 + 0.8) / 2); the exponent half way between the points is 0.65."""
    lengths = ((1 + 2 * 0.8) / 3) ** 0.5 * ((1 + 0.8) / 2) ** 0.5
    assert CURVE.score_at(1e-3, enrolled=3, searched=2) == pytest.approx(0.3 / lengths**0.65)


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.floats(1e-6, 0.5), photos, photos)
def test_more_rows_never_lower_the_threshold(rows: int, more: int, target: float, templates: int, sent: int) -> None:
    low = threshold(DLIB, rows, target, templates, sent)
    high = threshold(DLIB, rows + more, target, templates, sent)
    assert DLIB.points[0].score <= low <= high <= HIGHEST


@given(st.integers(1, 10**7), st.floats(1e-5, 0.2), photos, photos, st.booleans())
def test_more_photos_never_lower_the_threshold(rows: int, target: float, few: int, more: int, of_probe: bool) -> None:
    few, many = sorted((few, more))
    if of_probe:
        assert threshold(DLIB, rows, target, 1, few) <= threshold(DLIB, rows, target, 1, many)
    else:
        assert threshold(DLIB, rows, target, few, 1) <= threshold(DLIB, rows, target, many, 1)


@given(st.integers(1, 10**7), st.floats(1e-5, 0.2), st.floats(1e-5, 0.2))
def test_a_stricter_target_never_lowers_the_threshold(rows: int, one: float, other: float) -> None:
    strict, lenient = sorted((one, other))
    assert threshold(DLIB, rows, strict) >= threshold(DLIB, rows, lenient)


def test_a_curve_is_the_same_after_it_was_written_and_read() -> None:
    read = FmrCurve.from_json(CURVE.to_json("x"))
    assert (read.points, read.same_person, read.pairs, read.people, read.source) == (
        *(CURVE.points, CURVE.same_person, CURVE.pairs, CURVE.people, CURVE.source),
    )


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("points", [[0.2, 1e-2, 0.8]], "points"),
        ("points", [[0.2, 1e-2, 0.8], [0.1, 1e-4, 0.5]], "points[1]"),
        ("points", [[0.2, 1e-2, 0.8], [0.4, 1e-2, 0.5]], "points[1]"),
        ("points", [[0.2, 1e-2, 0.8], [0.4, 0, 0.5]], "points[1]"),
        ("points", [[0.2, 1e-2, 0.8], [0.4, 1e-4, True]], "points[1]"),
        ("points", [[0.2, 1e-2, 0.8], [0.4, 1e-4]], "points[1]"),
        ("points", [[0.2, 1e-2, 0.8], [0.4, 1e-4, float("nan")]], "points[1]"),
        ("points", [[0.2, 1e-2, 10**400], [0.4, 1e-4, 0.5]], "points[0]"),
        ("points", "none", "points"),
        ("same_person", 1.5, "same_person"),
        ("same_person", None, "same_person"),
        ("pairs", 0, "pairs"),
        ("people", "many", "people"),
        ("source", "", "source"),
    ],
)
def test_a_bad_curve_is_refused_by_the_name_of_the_field(field: str, value: Any, named: str) -> None:
    body = json.loads(CURVE.to_json("x")) | {field: value}
    with pytest.raises(InvalidCurve) as caught:
        FmrCurve.from_json(json.dumps(body))
    assert caught.value.field == named


@pytest.mark.parametrize("text", ["", "[]", "{", "null"])
def test_what_is_no_curve_at_all_is_refused(text: str) -> None:
    with pytest.raises(InvalidCurve):
        FmrCurve.from_json(text)


def test_a_face_of_many_photos_is_ranked_by_what_it_is_above_its_own_threshold() -> None:
    cut = Cut(DLIB, rows=100, target_fpir=0.01)
    one, many = Candidate("A", "one", 0.950), Candidate("A", "many", 0.955, photos=5)
    assert cut.of(one) == threshold(DLIB, 100, 0.01) < cut.of(many) == threshold(DLIB, 100, 0.01, 5)
    assert cut.best_first([many, one]) == (one, many)


def test_a_fixed_threshold_holds_for_all_alike_and_a_floor_only_raises() -> None:
    many = Candidate("A", "many", 0.955, photos=5)
    assert Cut(DLIB, 100, 0.01, fixed=0.9).of(many) == Cut(DLIB, 100, 0.01, fixed=0.9).least == 0.9
    assert Cut(DLIB, 100, 0.01, floor=0.99).of(many) == 0.99
    assert Cut(DLIB, 100, 0.01, floor=0.5).of(many) == Cut(DLIB, 100, 0.01).of(many)


def test_equal_cuts_are_one_and_say_what_a_new_one_says() -> None:
    kept, floored = cut_of(DLIB, 100, 0.01, 2, -1.0), cut_of(DLIB, 100, 0.01, 2, 1)
    assert kept is cut_of(DLIB, 100, 0.01, 2, -1.0)
    for photos in (1, 3, 1, 3):
        candidate = Candidate("A", "x", 0.9, photos=photos)
        assert kept.of(candidate) == kept.reach(photos) == threshold(DLIB, 100, 0.01, photos, 2)
        assert kept.excess(candidate) == 0.9 - threshold(DLIB, 100, 0.01, photos, 2)
        assert floored.of(candidate) == 1
    assert kept.of(None) == kept.of(Candidate("A", "x", 0.9))
    assert [type(cut_of(DLIB, 100, 0.01, 2, floor).of(None)) for floor in (1, 1.0)] == [int, float]


def test_a_fixed_threshold_needs_no_measuring() -> None:
    assert not Cut(DLIB, 10**7, 0.01).measured
    assert Cut(DLIB, 10**7, 0.01, fixed=0.9).measured
