"""What the commands print: plain where it is piped (80 columns, no control characters), coloured on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from deploy.client.photos import Skipped

VERDICT_STYLE = {"match": "green", "no_match": "cyan", "inconclusive": "yellow"}
SKIPPED_SHOWN = 40


def out() -> Console:
    """Made anew for each use, so that it follows sys.stdout wherever that points now."""
    return Console(highlight=False)


def say(text: str, style: str = "") -> None:
    """One line or paragraph to stdout; `text` is taken as it is, never as markup, and never cut."""
    out().print(escape(text), style=style or None, soft_wrap=True)


def complain(what: str, next_step: str = "") -> None:
    """An error to stderr: what went wrong, and what to do about it."""
    console = Console(stderr=True, highlight=False)
    console.print(f"[bold red]error:[/] {escape(what)}", soft_wrap=True)
    if next_step:
        console.print(f"       {escape(next_step)}", soft_wrap=True)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[str] = ()) -> None:
    """Print a table; the columns named in `numbers` are aligned to the right. Cells may hold markup."""
    drawn = Table(title=title or None, title_justify="left", header_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        drawn.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*row)
    out().print(drawn)


def verdict(word: str) -> str:
    """A verdict as a table cell."""
    return f"[{VERDICT_STYLE.get(word, 'white')}]{word}[/]"


def list_skipped(skipped: Sequence[Skipped]) -> None:
    """One line a photo; a very long list is cut, and says so."""
    for photo in skipped[:SKIPPED_SHOWN]:
        say(f"  skipped {photo.name}: {photo.reason}", style="yellow")
    if len(skipped) > SKIPPED_SHOWN:
        say(f"  … and {len(skipped) - SKIPPED_SHOWN} more", style="yellow")


class Rate(ProgressColumn):
    """How many a second."""

    def __init__(self, of: str) -> None:
        super().__init__()
        self._of = of

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:,.0f} {self._of}/s")


@contextmanager
def progress(what: str, total: int, rate_of: str = "") -> Iterator[Progress]:
    """A bar on a terminal, nothing where it is piped; advance its only task with `bar.advance(bar.task_ids[0])`."""
    console = out()
    columns: list[ProgressColumn] = [
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    ]
    if rate_of:
        columns.append(Rate(rate_of))
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        bar.add_task(what, total=total)
        yield bar


def percent(part: int, whole: int) -> str:
    """`12.3%`, or `-` of nothing."""
    return f"{100 * part / whole:.1f}%" if whole else "-"
