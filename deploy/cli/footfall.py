"""`footfall`: who came, how often, and for how long, as tables with a bar chart, or as CSV."""

# ruff: noqa: PLR0913  # the options of a command are its parameters

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated

import typer
from rich.markup import escape

from deploy.cli.options import DEFAULT_URL, Key, Url, a_name, address
from deploy.cli.output import out, say, table
from deploy.client.footfall import FiguresBody, FootfallClient, ReportBody, RowBody

COLUMNS = ["PV", "UV", "new", "returning", "members", "dwell", "median", "peak"]
EIGHTHS = " ▏▎▍▌▋▊▉"
ALL = "all stores"


class Bucket(StrEnum):
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


def footfall(
    store: Annotated[str | None, typer.Option(callback=a_name, help="Report of this store; or name a group.")] = None,
    group: Annotated[str | None, typer.Option(callback=a_name, help="Report of all stores of this group.")] = None,
    *,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="TIME",
            help="Such as 2026-11-20, or a date-time with offset. Left out: the midnight before --to.",
        ),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Until just before then. Left out: until now.")
    ] = None,
    bucket: Annotated[Bucket | None, typer.Option(help="Also by hour, day, week or month.")] = None,
    timezone: Annotated[
        str | None, typer.Option(help="Whose days these are. Left out: the stores' own, if they have just one.")
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, with every store and bucket.")] = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Report visits (PV), different visitors (UV) and how long they stayed."""
    if (store is None) == (group is None):
        raise typer.BadParameter("Give one of them.", param_hint="--store / --group")
    where = {"store": store, "group": group, "bucket": bucket, "timezone": timezone}
    with FootfallClient(*address(url, key)) as client:
        if as_csv:
            typer.echo(client.footfall_csv(start=start, end=end, **where), nl=False)
            return
        report = client.footfall(start=start, end=end, **where)
    show(report)


def show(report: ReportBody) -> None:
    """The figures of each store, then those by bucket (of a group: of all its stores together) with bars of PV."""
    say(f"{_moment(report['start'])} to {_moment(report['end'])}, {report['timezone']}", "bold")
    chain = report["chain"]
    rows: list[tuple[str, RowBody]] = [(row["store"], row) for row in report["stores"]]
    if chain is not None:
        rows.append((ALL, chain))
    _figures("store", [(name, row["total"]) for name, row in rows])
    whole = rows[-1][1]
    if report["bucket"] is not None:
        named = list(zip(periods(whole["buckets"], report["bucket"]), whole["buckets"], strict=True))
        _figures(report["bucket"], named)
        bars([(name, figures["pv"]) for name, figures in named])
    elif len(report["stores"]) > 1:
        bars([(row["store"], row["total"]["pv"]) for row in report["stores"]])
    _overlap(report)
    _notes(report, whole)


def bars(rows: Sequence[tuple[str, int]]) -> None:
    """A bar of PV for each row, the longest as wide as the terminal allows."""
    width = max((len(name) for name, _ in rows), default=0)
    most = max((value for _, value in rows), default=0)
    room = max(1, out().width - width - len(str(most)) - 4)
    say("PV", "bold")
    for name, value in rows:
        say(f"{name:<{width}}  {bar(value, most, room)} {value}")


def bar(value: int, most: int, room: int) -> str:
    """`room` characters long for the greatest value, to an eighth of a character."""
    eighths = round(8 * room * value / most) if most else 0
    return "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()


def periods(buckets: Sequence[FiguresBody], size: str) -> list[str]:
    """What to call each bucket; an hour that comes twice is told apart by its offset."""
    names = [_period(datetime.fromisoformat(figures["start"]), size) for figures in buckets]
    twice = {name for name, count in Counter(names).items() if count > 1}
    return [
        f"{name} {figures['start'][-6:]}" if name in twice else name
        for name, figures in zip(names, buckets, strict=True)
    ]


def _period(start: datetime, size: str) -> str:
    match size:
        case "hour":
            return start.strftime("%Y-%m-%d %H:%M")
        case "week":
            return start.strftime("%G-W%V")
        case "month":
            return start.strftime("%Y-%m")
        case _:
            return start.strftime("%a %Y-%m-%d")


def _figures(first: str, rows: Sequence[tuple[str, FiguresBody]]) -> None:
    cells = [
        [
            escape(name),
            *(str(figures["pv"]), _estimate(figures, "uv"), str(figures["new"])),
            *(_estimate(figures, "returning"), _estimate(figures, "members")),
            *(_duration(figures["dwell"]["average_s"]), _duration(figures["dwell"]["median_s"])),
            "?" if figures["occupancy"]["peak"] is None else str(figures["occupancy"]["peak"]),
        ]
        for name, figures in rows
    ]
    table("", [first, *COLUMNS], cells, numbers=COLUMNS)


def _estimate(figures: FiguresBody, name: str) -> str:
    return f"{'' if figures['exact'] else '~'}{figures[name]}"  # type: ignore[literal-required]  # names of figures


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _overlap(report: ReportBody) -> None:
    if report["overlap"]:
        cells = [[one["store"], one["other"], str(one["visitors"])] for one in report["overlap"]]
        table("", ["store", "and", "visitors of both"], cells, numbers=["visitors of both"])


def _notes(report: ReportBody, whole: RowBody) -> None:
    rejected, waiting = whole["rejected"], whole["provisional"]
    if rejected:
        reasons = ", ".join(f"{count} {reason}" for reason, count in rejected.items())
        say(f"Faces too poor to be told apart: {reasons}.", "dim")
    if not report["exact"]:
        say(
            f"~ estimated, standard error {100 * (report['error'] or 0):.1f}%: visits of those days are not kept.",
            "dim",
        )
    if waiting["pending"] or waiting["pv"][0] != waiting["pv"][1]:
        (pv_low, pv_high), (uv_low, uv_high) = waiting["pv"], waiting["uv"]
        pending = waiting["pending"]
        who = "1 sighting waits" if pending == 1 else f"{pending} sightings wait"
        say(
            f"Provisional: {who} for shards. PV will be from {pv_low} to {pv_high}, UV from {uv_low} to {uv_high}.",
            "yellow",
        )


def _moment(text: str) -> str:
    """Without the seconds, and without a midnight."""
    moment = datetime.fromisoformat(text)
    return moment.strftime("%Y-%m-%d" if (moment.hour, moment.minute) == (0, 0) else "%Y-%m-%d %H:%M")
