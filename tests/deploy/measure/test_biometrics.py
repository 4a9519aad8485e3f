"""Error rates by hand, and intervals that cover what they should."""

from __future__ import annotations

import numpy as np
import pytest

from deploy.measure.biometrics import det, equal_error_rate, equal_interval, error_rates, histograms, wilson
from deploy.measure.labelled import BINS, Compared, bins, compare
from tests.deploy.measure.invented import people


def made(strangers: list[float], own: list[float]) -> Compared:
    counts = np.bincount(bins(np.array(strangers)), minlength=BINS)
    return Compared(counts, np.array(own), np.zeros(len(own), dtype=np.int64))


def test_rates_of_a_handful_of_pairs_are_those_counted_by_hand() -> None:
    few = made([0.1, 0.2, 0.3, 0.75], [0.5, 0.7, 0.8, 0.9])
    assert (few.fmr(0.6), few.fnmr(0.6)) == (0.25, 0.25)
    assert equal_error_rate(few).rate == 0.25
    assert 0.5 < equal_error_rate(few).threshold <= 0.7
    assert equal_error_rate(made([0.1, 0.2], [0.8, 0.9])).rate == 0


def test_wilson_is_as_published() -> None:
    """Newcombe 1998, Statistics in Medicine 17, table I, method 3."""
    for hits, trials, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)):
        assert (wilson(hits, trials).low, wilson(hits, trials).high) == pytest.approx((low, high), abs=5e-5)
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0, 1)


def test_a_det_curve_trades_one_rate_for_the_other() -> None:
    fmr, fnmr = det(compare(people([3] * 60)))
    assert (np.diff(fmr) <= 0).all()
    assert (np.diff(fnmr) >= 0).all()
    assert fmr.max() == 1


def test_histograms_hold_every_pair() -> None:
    edges, strangers, own = histograms(compare(people([3] * 40)))
    assert len(edges) == len(own) + 1
    assert strangers.sum() == pytest.approx(1)
    assert own.sum() == pytest.approx(1)


def test_intervals_cover_the_rate_that_many_other_people_have() -> None:
    """Of 20 sets of people, most: an interval of 95% that covered 70% of the time would be found out."""
    many, covered = compare(people([3] * 1200, seed=100, of_photo=0.15)), np.zeros(3)
    threshold = many.score_at(0.01)
    for seed in range(20):
        few = people([3] * 60, seed=seed, of_photo=0.15)
        compared = compare(few)
        (rate,) = error_rates(few, compared, [threshold])
        equal = equal_interval(few, compared, equal_error_rate(compared))
        covered += (
            rate.fmr_interval.low <= many.fmr(threshold) <= rate.fmr_interval.high,
            rate.fnmr_interval.low <= many.fnmr(threshold) <= rate.fnmr_interval.high,
            equal.low <= equal_error_rate(many).rate <= equal.high,
        )
        assert rate.false_matches == pytest.approx(rate.fmr * compared.pairs)
    assert (covered >= 17).all(), covered


def test_no_error_seen_is_not_taken_for_no_error() -> None:
    few = people([3] * 20)
    (rate,) = error_rates(few, compare(few), [0.5])
    assert (rate.false_non_matches, rate.fnmr_interval.low) == (0, 0)
    assert rate.fnmr_interval.high == wilson(0, 20).high


def test_people_are_less_sure_than_pairs_would_be() -> None:
    few = people([6] * 60, seed=5)
    compared = compare(few)
    (rate,) = error_rates(few, compared, [compared.score_at(0.01)])
    naive = wilson(rate.false_matches, compared.pairs)
    assert rate.fmr_interval.high - rate.fmr_interval.low > 2 * (naive.high - naive.low)
