"""The picture of `scaling`: four panels, what a search costs against what makes a cluster large."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

BLUE, ORANGE, GREEN, GREY = "#2563a8", "#d9622b", "#3b8f5a", "#777777"
PLAIN = FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}")
SERIES = {
    "home": ("known at their store, singly", BLUE, "o-"),
    "home_batches": ("known at their store, in batches of 64", BLUE, "s--"),
    "strangers": ("strangers, every store, singly", ORANGE, "o-"),
    "stranger_batches": ("strangers, every store, in batches of 64", ORANGE, "s--"),
}

Points = Sequence[Mapping[str, float]]


def draw(told: Mapping[str, Any], file: Path) -> None:
    """`told` as `scaling` keeps it; panels that were not measured stay empty."""
    figure = Figure(figsize=(12, 9), dpi=110, layout="constrained")
    panels, behind = told["panels"], told["behind"]
    fixed = f"{behind['rows']:,} rows"
    titles = {
        "rows": "In process: cost against rows",
        "stores": f"Through the gateway: {fixed}, {behind['shards']} shards, 16 clients",
        "shards": f"Through the gateway: {fixed}, {behind['stores']:,} stores, 16 clients",
        "clients": f"Through the gateway: {fixed}, {behind['stores']:,} stores, {behind['shards']} shards",
    }
    plots = {"rows": _rows, "stores": _stores, "shards": _shards, "clients": _clients}
    for axes, (name, plot) in zip(figure.subplots(2, 2).flat, plots.items(), strict=True):
        if points := panels.get(name):
            plot(axes, points)
            axes.set_title(titles[name], fontsize=10)
        else:
            axes.set_axis_off()
    machine = told["machine"]
    figure.suptitle(f"Facegrid on {machine['cores']} cores ({machine['processor']}), load generator on the same cores")
    figure.savefig(file)


def _rows(axes: Axes, points: Points) -> None:
    at = [point["rows"] for point in points]
    lines = {
        "flat": ("exact, one at a time", GREY, "o-"),
        "singly": ("ShardIndex, one at a time", BLUE, "o-"),
        "blocks": ("ShardIndex, blocks of 64", BLUE, "s--"),
    }
    for name, (label, colour, style) in lines.items():
        axes.plot(at, [1000 / point[name] for point in points], style, color=colour, label=label)
    for point in points:
        place = (point["rows"], 0.02)
        axes.annotate(
            f"recall {point['recall']:.3f}",
            place,
            xycoords=("data", "axes fraction"),
            ha="center",
            fontsize=8,
            color=BLUE,
        )
    _labelled(axes, "rows", "milliseconds a probe, one core")


def _stores(axes: Axes, points: Points) -> None:
    _served(axes, points, "stores")
    _labelled(axes, "stores", "probes a second")
    axes.legend(fontsize=8, loc="lower left")


def _shards(axes: Axes, points: Points) -> None:
    _served(axes, points, "shards")
    _labelled(axes, "shard processes", "probes a second")
    axes.legend(fontsize=8, loc="lower left")
    _powers(axes, [point["shards"] for point in points])


def _served(axes: Axes, points: Points, by: str) -> None:
    at = [point[by] for point in points]
    for name, (label, colour, style) in SERIES.items():
        axes.plot(at, [point[name] for point in points], style, color=colour, label=label)
    least = min(point[name] for point in points for name in SERIES)
    axes.set_yscale("log")
    axes.set_ylim(bottom=least / 5)  # room for the legend


def _clients(axes: Axes, points: Points) -> None:
    at = [point["clients"] for point in points]
    axes.plot(at, [point["home"] for point in points], "o-", color=BLUE, label="searches a second (left)")
    _labelled(axes, "clients that search at once", "searches a second, known at their store")
    axes.set_yscale("linear")  # which also puts the ticks back
    axes.set_ylim(bottom=0)
    _powers(axes, at)
    times = axes.twinx()
    times.plot(at, [point["p50_ms"] for point in points], "^:", color=GREEN, label="p50 (right)")
    times.plot(at, [point["p99_ms"] for point in points], "v:", color=ORANGE, label="p99 (right)")
    times.set_yscale("log")
    times.set_ylabel("milliseconds")
    _readable(times)
    axes.get_legend().remove()  # type: ignore[union-attr]  # made just above
    lines = [*axes.get_lines(), *times.get_lines()]
    axes.legend(lines, [str(line.get_label()) for line in lines], fontsize=8, loc="lower right")


def _labelled(axes: Axes, x: str, y: str) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.xaxis.set_major_formatter(PLAIN)
    _readable(axes)
    axes.margins(x=0.1, y=0.1)
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend(fontsize=8)


def _readable(axes: Axes) -> None:
    """A logarithmic y axis with 1, 2, 5, 10, …"""
    axes.yaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(PLAIN)
    axes.yaxis.set_minor_formatter(NullFormatter())


def _powers(axes: Axes, at: Sequence[float]) -> None:
    """An axis of powers of two."""
    axes.set_xscale("log", base=2)
    axes.set_xticks(list(at))
    axes.xaxis.set_major_formatter(PLAIN)
    axes.xaxis.set_minor_formatter(NullFormatter())
