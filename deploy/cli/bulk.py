"""`import` and `export`: files of faces into stores, and out of them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from deploy.cli.options import DEFAULT_URL, Key, Url, a_name, connect, say_unfinished
from deploy.cli.output import progress, say, table
from deploy.client.bulk import Sent, exported, send_all
from deploy.client.face_files import read_faces
from deploy.client.face_writers import Writer, writing
from deploy.client.http import Client, ClientError

FILE = "FILE.npz|.parquet|.ndjson"


def import_faces(
    file: Annotated[Path, typer.Argument(metavar=FILE, exists=True, dir_okay=False, help="Embeddings of faces.")],
    *,
    store: Annotated[
        str | None, typer.Option(callback=a_name, help="The store of all rows; left out: as the file says.")
    ] = None,
    create_stores: Annotated[bool, typer.Option("--create-stores", help="Create the stores that are missing.")] = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Enrol faces from a file of embeddings. Running it again continues where it stopped.

    npz and parquet: embeddings (n, d), and where they are there face_ids, kinds, photos, spaces, stores, a row each;
    rows of one face_id are templates of that face. ndjson: a face a line, as `export` writes it. What is at the store
    already is left alone; a face_id left out is made from the embedding.
    """
    count, parcels = read_faces(file, store)
    sent: list[Sent] = []
    began = time.monotonic()
    with connect(url, key) as client:
        stores = {body["store"] for body in client.stores()}
        try:
            with progress(f"Importing {file.name}", count, "faces") as bar:
                for one in send_all(client, parcels, stores, create_stores=create_stores):
                    sent.append(one)
                    bar.advance(bar.task_ids[0], one.rows)
        except (ClientError, KeyboardInterrupt) as error:
            summary(sent, count, time.monotonic() - began)
            say_unfinished(error)
            raise
    summary(sent, count, time.monotonic() - began)


def summary(sent: list[Sent], count: int, took_s: float) -> None:
    """What became of the rows, and how fast."""
    faces, created, updated = (sum(getattr(one, name) for one in sent) for name in ("faces", "created", "updated"))
    rows = [
        ["new faces", f"{created}"],
        ["given more templates, or changed", f"{updated}"],
        ["there already, left alone", f"{faces - created - updated}"],
        ["rows not confirmed", f"{count - sum(one.rows for one in sent)}"],
    ]
    table("", ["", "faces"], [rows[0], *(row for row in rows[1:] if row[1] != "0")], numbers=["faces"])
    say(f"{faces} faces in {took_s:.1f} s, {faces / max(took_s, 1e-3):,.0f} a second.")
    if any(not one.visible for one in sent):
        say("All of them are on disk. Some shard is behind: searches may not find all of them yet.", style="yellow")


def export_faces(
    file: Annotated[Path, typer.Argument(metavar=FILE, dir_okay=False, help="Replaced if it is there.")],
    *,
    store: Annotated[
        list[str] | None,
        typer.Option(callback=lambda names: [a_name(n) for n in names or []], help="A store; again: several."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All stores.")] = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Write the faces of stores to a file that `import` reads.

    ndjson has all that is known of a face but thumbnails and visits; npz and parquet have a row a template, with
    store, face_id, kind, number of photos and space.
    """
    if everything == bool(store):
        raise typer.BadParameter("Name stores with --store, or --all.", param_hint="--store")
    with connect(url, key) as client:
        faces = {body["store"]: body["faces"] for body in client.stores()}
        wanted = list(faces) if everything else list(dict.fromkeys(store or ()))
        for name in wanted:
            if name not in faces:
                raise ClientError(f"Store {name} does not exist.")
        with writing(file) as writer:
            count = _write(client, writer, wanted, sum(faces[name] for name in wanted))
    say(f"{count} faces are in {file}; stores: {len(wanted)}.")


def _write(client: Client, writer: Writer, stores: list[str], total: int) -> int:
    count = 0
    with progress("Exporting", total, "faces") as bar:
        for store in stores:
            for lines in exported(client, store):
                writer.add(store, lines)
                count += len(lines)
                bar.advance(bar.task_ids[0], len(lines))
    return count
