"""Everything that `facegrid calibrate` finds out from photos of known people, as one report.

Identification is measured on galleries drawn from these same people, with the curve that comes from them too: it shows
whether thresholds by gallery size do what they say, not how another chain's customers would fare. Galleries larger than
the people allow are reckoned, FPIR(N) = 1 - (1 - FMR)^N and FNIR(N) = FNMR at the threshold for N, and marked as such.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from deploy.measure.biometrics import Equal, ErrorRates, Interval, equal_error_rate, equal_interval, error_rates
from deploy.measure.curve import LEAST_PAIRS, LEAST_PEOPLE, Fit, fit_curve
from deploy.measure.labelled import Compared, Labelled, compare
from deploy.measure.open_set import STRANGERS, Measured, Protocol, Rate, by_facegrid, draw
from gateway.fmr import FmrCurve, fmr_needed, threshold

TARGET_FPIR = 0.01
"""the gateway's default"""
DRAWS = 30
PHOTOS = ((1, 1), (3, 2))
"""(enrolled, searched for)"""
SIZES = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
RECKONED = (100, 1_000, 10_000, 100_000, 1_000_000)


@dataclass(frozen=True, slots=True)
class Identification:
    """Measured on galleries of one size, one photo enrolled and one searched for, or several."""

    protocol: Protocol
    threshold: float
    """of a face with all its templates"""
    fpir: Rate
    fnir: Rate
    rank_1: Rate
    probes: int
    """of enrolled people, over all draws"""
    strangers: int


@dataclass(frozen=True, slots=True)
class Reckoned:
    """A gallery larger than could be measured: one photo enrolled, one searched for."""

    gallery: int
    threshold: float
    fmr: float
    fpir: float
    fnir: float
    supported: bool
    """so small an FMR was measured; otherwise the threshold goes on by the curve's last slope"""


@dataclass(frozen=True, eq=False)
class Calibration:
    photos: int
    people: int
    compared: Compared
    fit: Fit
    equal: Equal
    equal_interval: Interval
    rates: list[ErrorRates]
    """by falling FMR"""
    identified: list[Identification]
    reckoned: list[Reckoned]

    @property
    def largest_gallery(self) -> int:
        """The faces for which the smallest FMR measured is just small enough."""
        return max(1, math.floor(math.log1p(-TARGET_FPIR) / math.log1p(-self.fit.curve.points[-1].fmr)))


def calibrate(people: Labelled, source: str) -> Calibration:
    """Measure; deterministic. Raises InvalidCurve where the photos are too few for a curve."""
    compared = compare(people)
    fit = fit_curve(people, source, compared)
    equal = equal_error_rate(compared)
    thresholds = [compared.score_at(10.0**-power) for power in _decades(compared.pairs)]
    return Calibration(
        photos=len(people.rows),
        people=people.people,
        compared=compared,
        fit=fit,
        equal=equal,
        equal_interval=equal_interval(people, compared, equal),
        rates=error_rates(people, compared, thresholds),
        identified=list(_identified(people, fit.curve)),
        reckoned=[_reckoned(compared, fit.curve, size) for size in RECKONED if size > people.people],
    )


def _decades(pairs: int) -> range:
    """Powers of ten of the FMRs that LEAST_PAIRS pairs of different people or more are behind."""
    return range(1, max(2, math.floor(math.log10(pairs / LEAST_PAIRS)) + 1))


def _identified(people: Labelled, curve: FmrCurve) -> Iterator[Identification]:
    for enrol, probe in PHOTOS:
        probed = sum(len(rows) >= enrol + probe for rows in people.photos_of)
        outside = sum(len(rows) >= probe for rows in people.photos_of) * STRANGERS
        for size in (size for size in SIZES if size <= people.people - outside and probed >= LEAST_PEOPLE):
            yield _identification(people, curve, Protocol(enrol, probe, size))


def _identification(people: Labelled, curve: FmrCurve, protocol: Protocol) -> Identification:
    chance = np.random.default_rng(protocol.gallery)
    draws = (draw(people, protocol, chance) for _ in range(DRAWS))
    measured = Measured([by_facegrid(people, drawn, curve, TARGET_FPIR) for drawn in draws])
    found = measured.tpir()
    return Identification(
        protocol=protocol,
        threshold=threshold(curve, protocol.gallery, TARGET_FPIR, protocol.enrol, protocol.probe),
        fpir=measured.fpir(),
        fnir=Rate(1 - found.mean, 1 - found.high, 1 - found.low),
        rank_1=measured.rank_1(),
        probes=measured.probes,
        strangers=measured.strangers,
    )


def _reckoned(compared: Compared, curve: FmrCurve, size: int) -> Reckoned:
    limit, fmr = threshold(curve, size, TARGET_FPIR), fmr_needed(size, TARGET_FPIR)
    fpir = -math.expm1(size * math.log1p(-fmr))
    return Reckoned(size, limit, fmr, fpir, compared.fnmr(limit), curve.supports(fmr))
