"""Error rates of comparisons, and how sure they are (words of ISO/IEC 19795-1).

FMR(t): part of the pairs of different people that score t or more. FNMR(t): part of the pairs of one person that do
not. EER: where the two are equal. DET: FNMR over FMR.

**Intervals.** Photos that are searched for one by one are taken as independent: Wilson's interval of a proportion (JASA
22, 1927). Pairs are not: whoever looks like many is in many pairs, and with one photo more in many more. So people are
drawn with replacement, not pairs (the subsets bootstrap of ISO/IEC 19795-1, B.4): a pair then counts as often as the
product of how often its two people were drawn, and never against a copy of itself. The middle 95% of RESAMPLES such
draws, from a fixed seed, is the interval. Where not one pair of one person was missed, no draw can miss one either:
the interval is then Wilson's, with each person as one trial.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deploy.measure.labelled import BINS, STEP, Compared, Floats, Ints, Labelled, Tail, score_of, tail

RESAMPLES = 200
Z95 = 1.959964


@dataclass(frozen=True, slots=True)
class Interval:
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ErrorRates:
    """At one threshold."""

    threshold: float
    fmr: float
    fmr_interval: Interval
    false_matches: int
    """pairs of different people behind the FMR"""
    fnmr: float
    fnmr_interval: Interval
    false_non_matches: int


@dataclass(frozen=True, slots=True)
class Equal:
    """The equal error rate and the threshold where it is reached."""

    rate: float
    threshold: float


def wilson(hits: int, trials: int) -> Interval:
    """95% interval of a proportion of independent trials; of none: everything is possible."""
    if not trials:
        return Interval(0.0, 1.0)
    part, spread = hits / trials, Z95**2 / trials
    middle = (part + spread / 2) / (1 + spread)
    half = math.sqrt(part * (1 - part) * spread + spread**2 / 4) / (1 + spread)
    return Interval(max(0.0, middle - half), min(1.0, middle + half))


def equal_error_rate(compared: Compared) -> Equal:
    """Where FMR and FNMR cross, between two STEPs of the score their mean. Needs pairs of both kinds."""
    missed = np.searchsorted(np.sort(compared.own), score_of_bins())
    fnmr, fmr = missed / len(compared.own), compared.at_least / compared.pairs
    at = int(np.argmax(fnmr >= fmr))
    return Equal(float((fnmr[at] + fmr[at]) / 2), score_of(at))


def det(compared: Compared, points: int = 400) -> tuple[Floats, Floats]:
    """(FMR, FNMR) at thresholds spread evenly over log FMR, down to one pair; FMR falling."""
    lowest = math.log10(1 / compared.pairs)
    thresholds = sorted({compared.score_at(float(fmr)) for fmr in np.logspace(0, lowest, points)})
    fmr, fnmr = zip(*((compared.fmr(t), compared.fnmr(t)) for t in thresholds), strict=True)
    return np.array(fmr), np.array(fnmr)


def histograms(compared: Compared) -> tuple[Floats, Floats, Floats]:
    """(edges (bars + 1,), strangers (bars,), own (bars,)): parts of the pairs of their kind, over all scores."""
    bars = round(float(np.clip(4 * len(compared.own) ** (1 / 3), 30, 120)))  # fewer pairs, wider bars
    seen = np.flatnonzero(compared.strangers)
    low = min(score_of(int(seen[0])), float(compared.own.min()))
    high = max(score_of(int(seen[-1]) + 1), float(compared.own.max()))
    edges = np.linspace(low, high, bars + 1)
    strangers, _ = np.histogram(score_of_bins()[seen], edges, weights=compared.strangers[seen])
    own, _ = np.histogram(compared.own, edges)
    return edges, strangers / compared.pairs, own / len(compared.own)


def score_of_bins() -> Floats:
    """(BINS,): the lowest score of each."""
    return np.linspace(-1.0, 1.0, BINS)


@dataclass(frozen=True, eq=False)
class Resampled:
    """How often each person was drawn: (RESAMPLES, people)."""

    times: Ints
    photos: Ints
    """(people,)"""
    own_pairs: Ints
    """(people,)"""

    @classmethod
    def of(cls, people: Labelled) -> Resampled:
        chance, n = np.random.default_rng(0), people.people
        times = np.stack([np.bincount(chance.integers(0, n, n), minlength=n) for _ in range(RESAMPLES)])
        photos = np.bincount(people.persons, minlength=n)
        return cls(times, photos, photos * (photos - 1) // 2)

    def fmrs(self, high: Tail, thresholds: Floats) -> Floats:
        """(RESAMPLES, thresholds): FMR of each draw at rising thresholds, none below the tail's lowest score."""
        weighed = self.times * self.photos
        pairs = (weighed.sum(axis=1) ** 2 - (weighed**2).sum(axis=1)) / 2
        step = np.searchsorted(thresholds, high.scores, side="right")  # thresholds that a pair reaches
        rates = np.empty((len(self.times), len(thresholds)))
        for at, times in enumerate(self.times):
            reached = np.bincount(step, times[high.one] * times[high.other], minlength=len(thresholds) + 1)
            rates[at] = np.cumsum(reached[::-1])[::-1][1:] / max(pairs[at], 1)
        return rates

    def fnmrs(self, compared: Compared, thresholds: Floats) -> Floats:
        """(RESAMPLES, thresholds), likewise."""
        rates = np.empty((len(self.times), len(thresholds)))
        pairs = np.maximum(self.times @ self.own_pairs, 1)
        for at, threshold in enumerate(thresholds):
            whose = compared.own_person[compared.own < threshold]
            rates[:, at] = self.times @ np.bincount(whose, minlength=len(self.photos)) / pairs
        return rates


def error_rates(people: Labelled, compared: Compared, thresholds: Sequence[float]) -> list[ErrorRates]:
    """FMR and FNMR at each of the rising `thresholds`, with intervals over people."""
    at, drawn = np.array(thresholds), Resampled.of(people)
    unseen = wilson(0, int((drawn.own_pairs > 0).sum()))
    fmrs, fnmrs = drawn.fmrs(tail(people, thresholds[0]), at), drawn.fnmrs(compared, at)
    return [
        ErrorRates(
            threshold=threshold,
            fmr=compared.fmr(threshold),
            fmr_interval=_middle(fmrs[:, nth]),
            false_matches=round(compared.fmr(threshold) * compared.pairs),
            fnmr=compared.fnmr(threshold),
            fnmr_interval=_middle(fnmrs[:, nth]) if fnmrs[:, nth].any() else unseen,
            false_non_matches=round(compared.fnmr(threshold) * len(compared.own)),
        )
        for nth, threshold in enumerate(thresholds)
    ]


def equal_interval(people: Labelled, compared: Compared, equal: Equal) -> Interval:
    """Of the equal error rate: where the two rates of each draw cross, on a grid of scores around it that is as wide as
    the middle half of one person's scores."""
    wide = max(100 * STEP, float(np.subtract(*np.quantile(compared.own, (0.75, 0.25)))) / 2)
    thresholds = np.linspace(equal.threshold - wide, min(equal.threshold + wide, 1.0), 81)
    drawn = Resampled.of(people)
    fmrs, fnmrs = drawn.fmrs(tail(people, float(thresholds[0])), thresholds), drawn.fnmrs(compared, thresholds)
    crossing = np.argmax(fnmrs >= fmrs, axis=1)
    rows = np.arange(len(crossing))
    return _middle((fmrs[rows, crossing] + fnmrs[rows, crossing]) / 2)


def _middle(draws: Floats) -> Interval:
    low, high = np.quantile(draws, (0.025, 0.975))
    return Interval(float(low), float(high))
