"""The DET curve and the score histograms as PNG. Figures are made without pyplot, which would keep them in globals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import NormalDist

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deploy.measure.biometrics import Equal, ErrorRates, det, histograms
from deploy.measure.calibration import TARGET_FPIR
from deploy.measure.labelled import Compared, Floats
from gateway.fmr import FmrCurve, threshold

SIZE, DPI = (8.0, 6.0), 120
LINES = ("-", "--", ":")
OWN, STRANGERS, MARK = "#2a78d6", "#d95f3b", "#333333"
TICKS = (1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99)
EDGE = 1e-8
"""a rate of 0 has no place on a probit axis"""
FEWEST = 10
"""pairs behind a rate, below which the curve is drawn dotted"""


def save_det(path: Path, compared: Compared, rates: Sequence[ErrorRates], equal: Equal, title: str) -> None:
    """FNMR over FMR on probit axes (normal deviates, on which normal scores give straight lines), with intervals."""
    fmr, fnmr = det(compared)
    figure, axes = _figure(title, compared)
    sure = (fmr * compared.pairs >= FEWEST) & (fnmr * len(compared.own) >= FEWEST)
    axes.plot(_probit(fmr), _probit(fnmr), color=OWN, linewidth=1.2, linestyle=":", label=f"fewer than {FEWEST} pairs")
    axes.plot(_probit(fmr[sure]), _probit(fnmr[sure]), color=OWN, linewidth=2.2, label="measured")
    _crosses(axes, rates)
    axes.plot(*_probit(np.array([[equal.rate], [equal.rate]])), "o", color=MARK, label=f"EER {equal.rate:.2%}")
    _probit_axis(axes, fmr, fnmr)
    axes.set_xlabel("FMR: pairs of different people taken for one person")
    axes.set_ylabel("FNMR: pairs of one person not recognised")
    axes.legend(loc="upper right")
    figure.savefig(path)


def _crosses(axes: Axes, rates: Sequence[ErrorRates]) -> None:
    """The 95% intervals over people, at the thresholds of the table. An FNMR of 0 is nowhere on a probit axis."""
    for nth, rate in enumerate(rate for rate in rates if rate.false_non_matches):
        x, y = _probit(np.array([rate.fmr, rate.fnmr]))
        across = _probit(np.array([rate.fmr_interval.low, rate.fmr_interval.high]))
        along = _probit(np.array([rate.fnmr_interval.low, rate.fnmr_interval.high]))
        axes.plot(across, [y, y], color=MARK, linewidth=1, label="95% interval over people" if not nth else None)
        axes.plot([x, x], along, color=MARK, linewidth=1)
        axes.annotate(
            f"t = {rate.threshold:.3f}", (float(x), float(y)), xytext=(6, 6), textcoords="offset points", fontsize=9
        )


def _probit(rates: Floats) -> Floats:
    normal = NormalDist()
    deviates = np.vectorize(lambda rate: normal.inv_cdf(min(max(rate, EDGE), 1 - EDGE)), otypes=[float])
    return np.asarray(deviates(rates), dtype=np.float64)


def _probit_axis(axes: Axes, fmr: Floats, fnmr: Floats) -> None:
    names = [f"{100 * tick:g}%" if tick >= 0.01 else f"$10^{{{round(math.log10(tick))}}}$" for tick in TICKS]
    places = _probit(np.array(TICKS))
    axes.set_xticks(places, names)
    axes.set_yticks(places, names)
    inside = (fmr > 0) & (fmr < 1) & (fnmr > 0) & (fnmr < 1)
    for limits, rates in ((axes.set_xlim, fmr[inside]), (axes.set_ylim, fnmr[inside])):
        low, high = rates.min(initial=0.01) / 2, rates.max(initial=0.01) * 2
        limits(*_probit(np.array([low, np.clip(high, 0.2, 0.98)])))
    axes.grid(color="#dddddd", linewidth=0.8)


def save_histogram(path: Path, compared: Compared, curve: FmrCurve, sizes: Sequence[int], title: str) -> None:
    """Scores of pairs of one person and of different people, and the thresholds of galleries of `sizes` faces."""
    edges, strangers, own = histograms(compared)
    figure, axes = _figure(title, compared)
    axes.stairs(strangers, edges, fill=True, color=STRANGERS, alpha=0.55, label="different people")
    axes.stairs(own, edges, fill=True, color=OWN, alpha=0.55, label="one person")
    for nth, size in enumerate(sizes):
        at = threshold(curve, size, TARGET_FPIR)
        label = f"threshold of {size:,} faces: {at:.3f}"
        axes.axvline(at, color=MARK, linewidth=1.2, linestyle=LINES[nth % len(LINES)], label=label)
    axes.set_xlabel("score (cosine)")
    axes.set_ylabel("part of the pairs of its kind")
    axes.legend(loc="upper left")
    figure.savefig(path)


def _figure(title: str, compared: Compared) -> tuple[Figure, Axes]:
    figure = Figure(SIZE, DPI, layout="constrained")
    axes = figure.subplots()
    counts = f"{len(compared.own):,} pairs of one person, {compared.pairs:,} of different people"
    axes.set_title(f"{title}\n{counts}", fontsize=11)
    return figure, axes
