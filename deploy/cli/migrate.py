"""`migrate`: take a store to another embedding space, or say who has to be photographed for that."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from deploy.cli.options import DEFAULT_URL, Key, Url, a_name, address
from deploy.cli.output import progress, say, table
from deploy.client.http import ClientError, Problem
from deploy.client.migration import MigrationBody, MigrationClient

PAUSE_S = 0.5
STILL_S = 120.0
"""longest time without a step forward"""
BUSY = frozenset({"ENCODER_BUSY", "DEADLINE_EXCEEDED"})
"""codes that say: what is staged stays staged, go on"""
GO_ON = frozenset({"staging", "flipping", "sightings_wait"})
"""states in which the same request gets further"""

Store = Annotated[str, typer.Option("--store", callback=a_name, help="Name of the store.")]


def migrate(
    store: Store,
    to: Annotated[
        str | None, typer.Option(callback=a_name, help="The embedding space; left out: only say how it stands.")
    ] = None,
    leave_behind: Annotated[
        bool,
        typer.Option("--leave-behind", help="Go on without the faces that have no thumbnail."),
    ] = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Take a store to another embedding space, or list who has to be photographed again.

    Faces are encoded again from the thumbnails kept at enrolment. Until all are, the store is searched in the space it
    has; then it changes at once. Running the command again continues where it stopped.
    """
    with MigrationClient(*address(url, key)) as client:
        if to is None:
            if leave_behind:
                raise typer.BadParameter("It goes with --to.", param_hint="--leave-behind")
            show(client, client.migration(store))
            return
        body = take(client, store, to, leave_behind=leave_behind)
        if not body["flipped"]:
            refuse(client, body)
        say(f"Store {store} is in {body['space']}: {body['done'] - body['without_thumbnail_count']} faces.")
        if body["without_thumbnail_count"]:
            say(f"{body['without_thumbnail_count']} more cannot be found until they are enrolled again:")
            list_missing(client, store)


def take(client: MigrationClient, store: str, to: str, *, leave_behind: bool) -> MigrationBody:
    """Ask until it is done, or stopped by faces without a thumbnail; ClientError if nothing goes on."""
    best: tuple[str, int] | None = None
    changed = time.monotonic()
    with progress(f"{store} to {to}", 1) as bar:
        while True:
            body = _ask(client, store, to, leave_behind=leave_behind)
            if body is not None:
                bar.update(bar.task_ids[0], total=body["done"] + body["left"], completed=body["done"])
                if body["state"] not in GO_ON:
                    return body
                now = (body["state"], body["done"])
                changed = time.monotonic() if now != best else changed
                best = now
            if time.monotonic() - changed > STILL_S:
                raise ClientError(_still(store, body))
            if body is None or body["state"] != "staging":
                time.sleep(PAUSE_S)


def _ask(client: MigrationClient, store: str, to: str, *, leave_behind: bool) -> MigrationBody | None:
    """None: the gateway has no time for it now."""
    try:
        return client.migrate(store, to, leave_behind=leave_behind)
    except Problem as problem:
        if problem.code not in BUSY:
            raise
        return None


def _still(store: str, body: MigrationBody | None) -> str:
    if body is not None and body["sightings_waiting"]:
        return (
            f"{body['sightings_waiting']} sightings of store {store} wait for shards, and cannot be searched in "
            "another space. `facegrid shards` shows what is alive; run the same command again once they are settled."
        )
    return f"Nothing went on for {STILL_S:.0f} s. The store is as it was; run the same command again to continue."


def refuse(client: MigrationClient, body: MigrationBody) -> None:
    """Faces would be left behind, and that was not asked for: name them, and end with 1."""
    count, store = body["without_thumbnail_count"], body["store"]
    say(f"Store {store} stays in {body['space']}: {count} of its {body['done']} faces have no usable thumbnail.")
    list_missing(client, store)
    raise ClientError(
        "Enrol them again with --keep-thumbnails and repeat the command; or add --leave-behind: they stay as records "
        "then, and cannot be found until they are enrolled again."
    )


def show(client: MigrationClient, body: MigrationBody) -> None:
    say(f"Store {body['store']} is in {body['space']}.")
    if body["to"] is not None:
        say(f"On its way to {body['to']}: {body['done']} faces are ready, {body['left']} are left ({body['state']}).")
    if body["without_thumbnail_count"]:
        say("Without a usable thumbnail:" if body["to"] is not None else "To be enrolled again:")
        list_missing(client, body["store"])


def list_missing(client: MigrationClient, store: str) -> None:
    faces = sorted(client.without_thumbnail(store), key=lambda one: (one["kind"], one["face_id"]))
    table("", ["face", "kind", "member"], [[one["face_id"], one["kind"], one["member_id"] or "-"] for one in faces])
