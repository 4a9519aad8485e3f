"""Curves fitted on some invented people hold for others, of single photos and of means."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from common.errors import InvalidCurve
from deploy.measure.curve import LEAST_PAIRS, LFW_EXPONENTS, Fit, fit_curve, mean_of_own
from deploy.measure.labelled import compare
from deploy.measure.open_set import Measured, Protocol, by_facegrid, draw
from gateway.fmr import FmrCurve
from tests.deploy.measure.invented import COMMON, OF_PERSON, OF_PHOTO, people


@pytest.fixture(scope="module")
def fit() -> Fit:
    return fit_curve(people([4] * 180, seed=1), "invented")


def test_points_go_down_as_far_as_pairs_are_behind_them(fit: Fit) -> None:
    curve = fit.curve
    assert curve.points[0].fmr == pytest.approx(0.1)
    assert LEAST_PAIRS <= curve.points[-1].fmr * curve.pairs < 2 * LEAST_PAIRS
    assert (curve.pairs, curve.people) == (16 * 180 * 179 // 2, 180)
    assert curve.same_person == pytest.approx((COMMON + OF_PERSON) / (COMMON + OF_PERSON + OF_PHOTO), abs=0.01)


def test_a_written_curve_reads_back(fit: Fit) -> None:
    read = FmrCurve.from_json(fit.curve.to_json("invented-v1"))
    assert [point.score for point in read.points] == pytest.approx([p.score for p in fit.curve.points], abs=1e-5)
    assert read.source == "invented"


def test_thresholds_rise_with_every_demand(fit: Fit) -> None:
    fmrs = [10.0**-power for power in np.arange(1, 8, 0.1)]
    for templates, photos in ((1, 1), (3, 2), (10, 10)):
        scores = [fit.curve.score_at(fmr, templates, photos) for fmr in fmrs]
        assert all(low <= high for low, high in pairwise(scores))
    for fmr in fmrs:
        rising = [fit.curve.score_at(fmr, count, count) for count in range(1, 11)]
        assert all(low <= high for low, high in pairwise(rising))


@pytest.mark.parametrize(("enrol", "probe"), [(1, 1), (3, 1), (3, 2)])
def test_others_match_as_seldom_as_was_asked(fit: Fit, enrol: int, probe: int) -> None:
    others, chance = people([enrol + probe] * 400, seed=2), np.random.default_rng(0)
    draws = [draw(others, Protocol(enrol, probe, 150), chance) for _ in range(20)]
    measured = Measured([by_facegrid(others, drawn, fit.curve, 0.01) for drawn in draws])
    assert 0.003 < measured.fpir().mean < 0.03
    assert measured.strangers == 20 * 133


def test_without_the_law_of_means_strangers_match_too_often(fit: Fit) -> None:
    """So the test above would notice if the exponents were lost."""
    flat = FmrCurve(
        tuple(type(p)(p.score, p.fmr, 0.0) for p in fit.curve.points), fit.curve.same_person, 1, 2, "no law"
    )
    others, chance = people([5] * 400, seed=2), np.random.default_rng(0)
    drawn = draw(others, Protocol(3, 2, 150), chance)
    assert by_facegrid(others, drawn, flat, 0.01).fpir() > 0.03


def test_where_nobody_has_several_photos_to_spare_exponents_are_lfws() -> None:
    found = fit_curve(people([2] * 10 + [1] * 60), "few")
    assert found.means_down_to is None
    assert found.curve.points[0].exponent == pytest.approx(LFW_EXPONENTS[0][1])
    last = found.curve.points[-1]
    assert last.exponent < found.curve.points[0].exponent


def test_every_person_counts_once_for_what_two_photos_of_one_score() -> None:
    found = compare(people([20, 2, 2, 2]))
    means = [found.own[found.own_person == person].mean() for person in range(4)]
    assert mean_of_own(found, 4) == pytest.approx(float(np.mean(means)))


def test_too_few_photos_make_no_curve() -> None:
    with pytest.raises(InvalidCurve) as refused:
        fit_curve(people([2, 2, 2]), "three")
    assert refused.value.field == "people"
    assert "12 pairs" in refused.value.detail
    with pytest.raises(InvalidCurve, match="two photos"):
        fit_curve(people([1] * 60), "one each")
