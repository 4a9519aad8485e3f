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

from common.limits import MAX_PHOTOS
from deploy.cli.options import DEFAULT_URL, Key, Url, a_name, connect
from deploy.cli.output import list_skipped, percent, progress, say, table
from deploy.client.answers import SearchBody
from deploy.client.enrolment import WORKERS, Options, enrol_people
from deploy.client.evaluation import Probe, Tally, groups, probes_of, searched, split
from deploy.client.http import Client, ClientError
from deploy.client.photos import Person, Plan, plan

GROUP = "eval"
STRANGERS = "strangers"
AWAY = "at another store"
TOP_K = 5
"""candidates beside a probe, where pictures are asked for"""
Folder = Annotated[Path, typer.Argument(exists=True, file_okay=False, help="One folder per person.")]
Answered = tuple[Probe, SearchBody | None]
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
    enrol: Annotated[int, typer.Option(min=1, max=MAX_PHOTOS, help="Photos of each person to enrol.")] = 1,
    probe: Annotated[
        int, typer.Option(min=1, max=MAX_PHOTOS, help="Photos of one person to search with at once, as their mean.")
    ] = 1,
    space: Annotated[str | None, typer.Option(callback=a_name, help="Embedding space; else the gateway's own.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", dir_okay=False, help="Write the counts here.")] = None,
    pictures: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="Draw mistakes and close calls beside their candidates into this folder."),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Do not delete the stores eval-1, eval-2, … at the end.")
    ] = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Measure recognition on your own photos, at the cluster's thresholds.

    Enrols the first photos of each person, split over fresh stores eval-1, eval-2, … Then searches the other photos at
    a store that is not theirs, and at their own, and the first photos of each stranger at the stores in turn.
    """
    if json_file is not None and not json_file.parent.is_dir():
        raise typer.BadParameter(f"{json_file.parent} is no folder.", param_hint="--json")
    everybody, others = _everything(people), _everything(strangers)
    if not everybody.people:
        raise ClientError(f"There are no photos in {people}.")
    list_skipped([*everybody.skipped, *others.skipped])
    with connect(url, key) as client, fresh_stores(client, stores, keep, space) as names:
        homes = _enrol(client, everybody.people, names, enrol)
        asked = {
            AWAY: probes_of(homes, names, 1, enrol, probe),
            "at home": probes_of(homes, names, 0, enrol, probe),
            STRANGERS: _turns(others.people, names, probe),
        }
        top_k = 1 if pictures is None else TOP_K
        answers = {what: _measure(client, what, probes, top_k) for what, probes in asked.items() if probes}
    tallies = {what: _tally(answered) for what, answered in answers.items()}
    show(tallies, len(homes), stores, enrol, probe)
    if pictures is not None:
        _draw(pictures, answers, homes)
    if json_file is not None:
        results = {what: counted.figures() | counted.errors(what == STRANGERS) for what, counted in tallies.items()}
        document = {"stores": stores, "people": len(homes), "enrol": enrol, "probe": probe, "results": results}
        json_file.write_text(json.dumps(document, indent=2) + "\n")


def _everything(folder: Path | None) -> Plan:
    return plan([folder], most=sys.maxsize) if folder is not None else Plan((), ())


def _turns(strangers: Sequence[Person], names: Sequence[str], together: int) -> list[Probe]:
    """Each stranger's first photos, at the stores in turn; those with too few are left out, and that is said."""
    able = [found[0] for stranger in strangers if (found := groups(stranger.photos, together))]
    if len(able) < len(strangers):
        say(f"{len(strangers) - len(able)} strangers have fewer than {together} photos and are left out.", "yellow")
    return [Probe(photos[0], names[at % len(names)], None, photos[1:]) for at, photos in enumerate(able)]


@contextmanager
def fresh_stores(client: Client, count: int, keep: bool, space: str | None = None) -> Iterator[list[str]]:
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
    settings = {"group": GROUP} | ({} if space is None else {"space": space})
    try:
        for name in names:
            if name in present:
                client.delete_store(name, force=True)
                del present[name]
            client.put_store(name, **settings)
            present[name] = GROUP
        yield names
    finally:
        for name in [] if keep else [name for name in names if name in present]:
            client.delete_store(name, force=True)


def _enrol(client: Client, people: Sequence[Person], names: Sequence[str], photos: int) -> list[tuple[str, Person]]:
    """(home store, person) of those who could be enrolled with their first photos."""
    homes = split(people, names)
    enrolled: set[str] = set()
    with progress("Enrolling", len(homes)) as bar:
        for name in names:
            firsts = [Person(person.face_id, person.photos[:photos]) for home, person in homes if home == name]
            for outcome in enrol_people(client, name, firsts, Options()):
                bar.advance(bar.task_ids[0])
                list_skipped(outcome.skipped)
                enrolled |= {outcome.face_id} if outcome.enrolled else set()
    return [(home, person) for home, person in homes if person.face_id in enrolled]


def _measure(client: Client, what: str, probes: Sequence[Probe], top_k: int) -> list[Answered]:
    answers: list[Answered] = []
    with progress(f"Searching: {what}", len(probes)) as bar:
        for answered in searched(client, probes, WORKERS, top_k):
            bar.advance(bar.task_ids[0])
            answers.append(answered)
    return answers


def _tally(answers: Sequence[Answered]) -> Tally:
    counted = Tally()
    for probe, answer in answers:
        counted.add(probe.who, answer)
    return counted


def show(tallies: Mapping[str, Tally], people: int, stores: int, enrol: int = 1, probe: int = 1) -> None:
    """One column a kind of probe, one line a figure."""
    each = "one photo" if enrol == 1 else f"up to {enrol} photos"
    together = "one photo at a time" if probe == 1 else f"{probe} photos together"
    say(f"{people} people are enrolled with {each} each, split over {stores} stores, and searched with {together}.")
    rows = [["probes", *(str(counted.probes) for counted in tallies.values())]]
    for title, attribute in METRICS.items():
        rows.append([title, *(_cell(counted, attribute, what) for what, counted in tallies.items())])
    for name in ("fnir", "fpir"):
        rows.append(
            [name.upper(), *(_rate(counted.errors(what == STRANGERS), name) for what, counted in tallies.items())]
        )
    rows.append(["photos refused", *(str(counted.unusable) for counted in tallies.values())])
    for title, figure in (("median ms", "median_total_ms"), ("of it searching", "median_search_ms")):
        rows.append([title, *(str(counted.figures()[figure]) for counted in tallies.values())])
    table("", ["", *tallies], rows, numbers=list(tallies))
    say("FNIR: enrolled people not found. FPIR: strangers who matched somebody. With 95% intervals (Wilson).")
    say(f"Times: in the gateway, photos included, with {WORKERS} searches at once.")


def _cell(counted: Tally, attribute: str, what: str) -> str:
    if attribute in (FOR_KNOWN if what == STRANGERS else FOR_STRANGERS):
        return "-"
    count: int = getattr(counted, attribute)
    return f"{count} ({percent(count, counted.probes)})"


def _rate(errors: Mapping[str, float | None], name: str) -> str:
    rate = errors.get(name)
    return "-" if rate is None else f"{rate:.1%} ({errors[f'{name}_low']:.1%} to {errors[f'{name}_high']:.1%})"


def _draw(folder: Path, answers: Mapping[str, Sequence[Answered]], homes: Sequence[tuple[str, Person]]) -> None:
    from deploy.measure.close_calls import save_pictures  # noqa: PLC0415  # matplotlib only where it is needed

    for path in save_pictures(folder, answers, homes):
        say(f"Picture: {path}")
