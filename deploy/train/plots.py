"""The curves of a run as one PNG: what it learns by, and what comes of it for people it never saw."""

from __future__ import annotations

import io
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deploy.train.history import Epoch

SIZE, DPI = (11.0, 7.5), 110
TRIPLET, CLASSIFIER, ACTIVE, ACCURACY = "#2a78d6", "#d95f3b", "#3c9d6b", "#8357c5"
FARS = ("#2a78d6", "#d95f3b", "#3c9d6b", "#8357c5")
UNTRAINED = ":"


def curves(history: Sequence[Epoch], title: str) -> bytes:
    """PNG of the losses, the active triplets, TAR at each FAR and the accuracy, over the epochs."""
    figure = Figure(SIZE, DPI, layout="constrained")
    losses, active, tar, accuracy = figure.subplots(2, 2).flat
    last = history[-1].validation
    pairs = f"{last.same:,} pairs of one person, {last.different:,} of different people"
    figure.suptitle(f"{title}\nvalidated on people who are not trained on: {pairs}", fontsize=11)
    _losses(losses, history)
    _active(active, history)
    _tar(tar, history)
    _accuracy(accuracy, history)
    for axes in (losses, active, tar, accuracy):
        axes.set_xlabel("epoch")
        axes.grid(color="#dddddd", linewidth=0.8)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def _losses(axes: Axes, history: Sequence[Epoch]) -> None:
    """The two have scales of their own: one axis each."""
    axes.set_title("losses, mean of an epoch", fontsize=10)
    other = axes.twinx()
    trained = [(epoch.number, epoch.losses) for epoch in history if epoch.losses is not None]
    numbers = [number for number, _ in trained]
    axes.plot(numbers, [losses.triplet for _, losses in trained], color=TRIPLET)
    other.plot(numbers, [losses.classifier for _, losses in trained], color=CLASSIFIER)
    axes.set_ylabel("triplet loss, active triplets", color=TRIPLET)
    other.set_ylabel("cross-entropy of the classifier, nats", color=CLASSIFIER)
    axes.set_ylim(bottom=0)
    other.set_ylim(bottom=0)


def _active(axes: Axes, history: Sequence[Epoch]) -> None:
    axes.set_title("triplets that violate the margin", fontsize=10)
    trained = [(epoch.number, 100 * epoch.losses.active) for epoch in history if epoch.losses is not None]
    axes.plot([number for number, _ in trained], [part for _, part in trained], color=ACTIVE)
    axes.set_ylabel("% of the batch's")
    axes.set_ylim(0, 100)


def _tar(axes: Axes, history: Sequence[Epoch]) -> None:
    axes.set_title("one person recognised (TAR), dotted: untrained", fontsize=10)
    numbers = [epoch.number for epoch in history]
    for far, colour in zip(history[-1].validation.tar, FARS, strict=False):
        parts = [100 * epoch.validation.tar[far] for epoch in history]
        axes.plot(numbers, parts, color=colour, label=f"at FAR {far:g}")
        axes.axhline(parts[0], color=colour, linestyle=UNTRAINED, linewidth=1.2)
    axes.set_ylabel("% of the pairs of one person")
    axes.set_ylim(0, 100)
    axes.legend(loc="best")


def _accuracy(axes: Axes, history: Sequence[Epoch]) -> None:
    axes.set_title("accuracy, ten folds, dotted: untrained", fontsize=10)
    parts = [100 * epoch.validation.accuracy for epoch in history]
    axes.plot([epoch.number for epoch in history], parts, color=ACCURACY)
    axes.axhline(parts[0], color=ACCURACY, linestyle=UNTRAINED, linewidth=1.2)
    axes.set_ylabel("% of as many pairs of each kind")
    axes.set_ylim(min(45.0, *parts), 100)
