"""`enrol`: photos into a store."""

# ruff: noqa: PLR0913  # the options of a command are its parameters

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from common.types import Kind
from deploy.cli.options import DEFAULT_URL, Key, StoreName, Url, connect, say_unfinished
from deploy.cli.output import list_skipped, progress, say, table
from deploy.client.enrolment import Options, Outcome, enrol_people
from deploy.client.http import Client, ClientError
from deploy.client.photos import Plan, plan

Paths = Annotated[
    list[Path], typer.Argument(metavar="PATH", exists=True, help="Photos, folders of photos, folders of people.")
]


def enrol(
    store: StoreName,
    paths: Paths,
    *,
    first: Annotated[int | None, typer.Option(min=1, help="Only the first so many photos of each person.")] = None,
    kind: Annotated[Kind, typer.Option(help="What these people are to the store.")] = Kind.VISITOR,
    keep_thumbnails: Annotated[
        bool, typer.Option("--keep-thumbnails", help="Keep a small picture of each face, for people to look at.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Add the photos of people who are at the store already, too.")
    ] = False,
    accept_poor: Annotated[
        bool, typer.Option("--accept-poor", help="Enrol also photos that are too poor: small, blurred, dark, turned …")
    ] = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Enrol people from photos. Running it again continues where it stopped.

    Photos too poor to recognise somebody by are left out, and listed with the reason.

    A folder of folders is one folder per person. Otherwise the file name says who: 095_0.bmp shows 095,
    Anna_Kournikova_0001.jpg shows Anna_Kournikova, ada.png shows ada. The store is created if it is missing.
    """
    wanted = plan(paths, first)
    if not wanted.people:
        list_skipped(wanted.skipped)
        raise ClientError("There is no photo to enrol in what was given.")
    options = Options(kind.value, keep_thumbnails, accept_poor=accept_poor)
    with connect(url, key) as client:
        if store not in {body["store"] for body in client.stores()} and client.put_store(store):
            say(f"Store {store} is new.")
        outcomes: list[Outcome] = []
        try:
            for outcome in _enrolled(client, store, wanted, options, again):
                outcomes.append(outcome)
        except (ClientError, KeyboardInterrupt) as error:
            summary(wanted, outcomes)
            say_unfinished(error)
            raise
    summary(wanted, outcomes)
    if not any(outcome.enrolled or outcome.present for outcome in outcomes):
        raise ClientError("No photo could be enrolled.")


def _enrolled(client: Client, store: str, wanted: Plan, options: Options, again: bool) -> Iterator[Outcome]:
    with progress(f"Enrolling at {store}", len(wanted.people)) as bar:
        for outcome in enrol_people(client, store, wanted.people, options, again=again):
            bar.advance(bar.task_ids[0])
            yield outcome


def summary(wanted: Plan, outcomes: list[Outcome]) -> None:
    """Every skipped photo with its reason, then the counts."""
    skipped = [*wanted.skipped, *(photo for outcome in outcomes for photo in outcome.skipped)]
    list_skipped(skipped)
    enrolled = [outcome for outcome in outcomes if outcome.enrolled]
    poor = sum(outcome.poor for outcome in outcomes)
    new = sum(outcome.created for outcome in enrolled)
    rows = [
        ["new people", str(new), str(sum(outcome.enrolled for outcome in enrolled if outcome.created))],
        ["people given more photos", str(len(enrolled) - new), str(sum(o.enrolled for o in enrolled if not o.created))],
        ["already there, left alone", str(sum(outcome.present for outcome in outcomes)), "-"],
        ["without a usable photo", str(sum(not (o.enrolled or o.present) for o in outcomes)), "-"],
        ["not confirmed", str(len(wanted.people) - len(outcomes)), "-"],
        ["skipped photos", "-", str(len(skipped))],
        ["too poor among them", "-", str(poor)],
    ]
    always = {"new people"}
    shown = [row for row in rows if row[0] in always or set(row[1:]) - {"0", "-"}]
    table("", ["", "people", "photos"], shown, numbers=["people", "photos"])
    if poor:
        say("Better photos are the remedy; --accept-poor enrols those too.")
