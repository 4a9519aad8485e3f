"""`evaluate`: how well does a running cluster recognise the people in a folder?"""

# ruff: noqa: PLR0913  # the options of a command are its parameters

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from deploy.cli.options import DEFAULT_URL, Key, Url, connect
from deploy.cli.output import list_skipped, percent, progress, say, table
from deploy.client.answers import SearchBody
from deploy.client.enrolment import WORKERS, Options, enrol_people
from deploy.client.evaluation import Probe, Tally, probes_of, searched, split, tally
from deploy.client.http import Client, ClientError
from deploy.client.photos import Person, Plan, plan

GROUP = "eval"
STRANGERS = "strangers"
Folder = Annotated[Path, typer.Argument(exists=True, file_okay=False, help="One folder per person.")]
METRICS = {
    "rank-1": "rank_1",
    "true matches": "true_matches",
    "false matches": "false_matches",
    "missed": "missed",
    "rejected": "rejected",
    "inconclusive": "inconclusive",
}
FOR_KNOWN, FOR_STRANGERS = {"rank_1", "true_matches", "missed"}, {"rejected"}


def evaluate(
    people: Folder,
    *,
    strangers: Annotated[Path | None, typer.Option(exists=True, file_okay=False, help="Photos of others.")] = None,
    stores: Annotated[int, typer.Option(min=2, max=100, help="Number of stores to split the people over.")] = 3,
    json_file: Annotated[Path | None, typer.Option("--json", dir_okay=False, help="Write the counts here.")] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Do not delete the stores eval-1, eval-2, … at the end.")
    ] = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Measure recognition on your own photos, at the cluster's thresholds.

    Enrols the first photo of each person, split over fresh stores eval-1, eval-2, … Then searches the other photos at
    a store that is not theirs, and at their own, and the first photo of each stranger at the stores in turn.
    """
    if json_file is not None and not json_file.parent.is_dir():
        raise typer.BadParameter(f"{json_file.parent} is no folder.", param_hint="--json")
    everybody, others = _everything(people), _everything(strangers)
    if not everybody.people:
        raise ClientError(f"There are no photos in {people}.")
    list_skipped([*everybody.skipped, *others.skipped])
    with connect(url, key) as client, fresh_stores(client, stores, keep) as names:
        homes = _enrol(client, everybody.people, names)
        turns = [Probe(p.photos[0], names[at % stores], None) for at, p in enumerate(others.people)]
        groups = {
            "at another store": probes_of(homes, names, away=1),
            "at home": probes_of(homes, names, away=0),
            STRANGERS: turns,
        }
        tallies = {what: _measure(client, what, probes) for what, probes in groups.items() if probes}
    show(tallies, len(homes), stores)
    if json_file is not None:
        figures = {what: counted.figures() for what, counted in tallies.items()}
        document = {"stores": stores, "people": len(homes), "results": figures}
        json_file.write_text(json.dumps(document, indent=2) + "\n")


def _everything(folder: Path | None) -> Plan:
    return plan([folder], most=sys.maxsize) if folder is not None else Plan((), ())


@contextmanager
def fresh_stores(client: Client, count: int, keep: bool) -> Iterator[list[str]]:
    """Stores eval-1 … eval-N in a group of their own, empty; deleted afterwards unless `keep`.

    Raises ClientError if a store of such a name is there that was not made for this: it could be somebody's shop.
    """
    names = [f"{GROUP}-{number}" for number in range(1, count + 1)]
    present = {body["store"]: body["group"] for body in client.stores()}
    for name in names:
        if present.get(name, GROUP) != GROUP:
            raise ClientError(
                f"Store {name} is in group {present[name]}, not {GROUP}: it will not be deleted for this."
            )
    try:
        for name in names:
            if name in present:
                client.delete_store(name, force=True)
            client.put_store(name, group=GROUP)
        yield names
    finally:
        for name in [] if keep else names:
            client.delete_store(name, force=True)


def _enrol(client: Client, people: Sequence[Person], names: Sequence[str]) -> list[tuple[str, Person]]:
    """(home store, person) of those who could be enrolled with their first photo."""
    homes = split(people, names)
    enrolled: set[str] = set()
    with progress("Enrolling", len(homes)) as bar:
        for name in names:
            firsts = [Person(person.face_id, person.photos[:1]) for home, person in homes if home == name]
            for outcome in enrol_people(client, name, firsts, Options()):
                bar.advance(bar.task_ids[0])
                list_skipped(outcome.skipped)
                enrolled |= {outcome.face_id} if outcome.enrolled else set()
    return [(home, person) for home, person in homes if person.face_id in enrolled]


def _measure(client: Client, what: str, probes: Sequence[Probe]) -> Tally:
    with progress(f"Searching: {what}", len(probes)) as bar:

        def counted() -> Iterator[tuple[Probe, SearchBody | None]]:
            for pair in searched(client, probes, WORKERS):
                bar.advance(bar.task_ids[0])
                yield pair

        return tally(counted())


def show(tallies: Mapping[str, Tally], people: int, stores: int) -> None:
    """One column a kind of probe, one line a figure."""
    say(f"{people} people are enrolled with one photo each, split over {stores} stores.")
    rows = [["probes", *(str(counted.probes) for counted in tallies.values())]]
    for title, attribute in METRICS.items():
        rows.append([title, *(_cell(counted, attribute, what) for what, counted in tallies.items())])
    rows.append(["photos refused", *(str(counted.unusable) for counted in tallies.values())])
    for title, figure in (("median ms", "median_total_ms"), ("of it searching", "median_search_ms")):
        rows.append([title, *(str(counted.figures()[figure]) for counted in tallies.values())])
    table("", ["", *tallies], rows, numbers=list(tallies))
    say(f"Times: in the gateway, photo included, with {WORKERS} searches at once.")


def _cell(counted: Tally, attribute: str, what: str) -> str:
    if attribute in (FOR_KNOWN if what == STRANGERS else FOR_STRANGERS):
        return "-"
    count: int = getattr(counted, attribute)
    return f"{count} ({percent(count, counted.probes)})"
