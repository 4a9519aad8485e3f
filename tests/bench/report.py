"""What a benchmark measured: lines of one table, each beside its yardstick of the same run, and the same as JSON."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from tests.bench.load import Measured


@dataclass(frozen=True, slots=True)
class Line:
    """One figure. `ratio`: the figure divided by that of the line named `yardstick`."""

    section: str
    what: str
    value: float
    unit: str
    p50_ms: float | None = None
    p99_ms: float | None = None
    ratio: float | None = None
    yardstick: str = ""
    wanted: str = ""
    """what the ratio shall be"""

    def beside(self, ratio: float, yardstick: str, wanted: str = "") -> Line:
        return replace(self, ratio=ratio, yardstick=yardstick, wanted=wanted)


class Report:
    """Each line is said as it is measured: a benchmark that is silent for minutes looks hung. `wanted`: whether lines
    show what is wanted of them, which holds for a million rows."""

    def __init__(self, console: Console, *, wanted: bool) -> None:
        self._wanted = wanted
        self.lines: list[Line] = []
        self.left_out: dict[str, str] = {}
        self.console = console
        self._started = time.monotonic()

    def say(self, text: str) -> None:
        self.console.print(f"[dim]{time.monotonic() - self._started:4.0f} s[/]  {text}", highlight=False)

    def add(self, line: Line) -> None:
        if not self._wanted:
            line = replace(line, wanted="")
        self.lines.append(line)
        self.say(f"{line.what}: {shown(line.value)} {line.unit}{_beside(line)}")

    def value(self, section: str, what: str) -> float | None:
        """A figure measured before; None if it was left out."""
        return next((line.value for line in self.lines if (line.section, line.what) == (section, what)), None)

    def leave_out(self, section: str, why: str) -> None:
        self.left_out[section] = why
        self.say(f"{section}: left out, {why}")

    def table(self, title: str) -> Table:
        table = Table(title=title, box=None, title_justify="left", pad_edge=False)
        for name, side in COLUMNS.items():
            table.add_column(name, justify="right" if side == "right" else "left", overflow="fold")
        for section in dict.fromkeys(line.section for line in self.lines):
            table.add_row(f"[bold]{section}[/]")
            for line in (line for line in self.lines if line.section == section):
                cells = (shown(line.value), line.unit, _ms(line.p50_ms), _ms(line.p99_ms), _ratio(line))
                table.add_row(f"  {line.what}", *cells)
        return table

    def write(self, file: Path, profile: dict[str, object]) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        figures = [asdict(line) for line in self.lines]
        told = {"machine": machine(), "profile": profile, "figures": figures, "left_out": self.left_out}
        file.write_text(json.dumps(told, indent=2) + "\n")


COLUMNS = {"what": "left", "measured": "right", "": "left", "p50 ms": "right", "p99 ms": "right", "beside": "left"}


def machine() -> dict[str, object]:
    model = "unknown"
    if (info := Path("/proc/cpuinfo")).exists():
        models = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        model = models[0] if models else model
    return {"cores": os.cpu_count(), "processor": model, "python": platform.python_version()}


def shown(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 1 else f"{value:.4g}"


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _ratio(line: Line) -> str:
    wanted = f" (wanted {line.wanted})" if line.wanted else ""
    return "" if line.ratio is None else f"{line.ratio:.3g} × {line.yardstick}{wanted}"


def _beside(line: Line) -> str:
    return f", {told}" if (told := _ratio(line)) else ""


def middle(rounds: Sequence[Measured]) -> Measured:
    """The median of each figure of several rounds; failures are counted together. Raises RuntimeError if there are."""
    if failed := sum(each.failures for each in rounds):
        answer = next(each.answer for each in rounds if each.failures)
        raise RuntimeError(f"{failed} requests failed, the first was answered {answer[:300]!r} … {answer[-500:]!r}")
    return Measured(
        median(each.per_second for each in rounds),
        median(each.p50_ms for each in rounds),
        median(each.p99_ms for each in rounds),
        0,
        rounds[-1].answer,
        max(each.max_ms for each in rounds),
        median(each.cpu_us for each in rounds),
    )
