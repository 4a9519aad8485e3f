"""`search`: who is in this photo? `verify`: do two photos show one person?"""

# ruff: noqa: PLR0913  # the options of a command are its parameters

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from common.limits import MAX_TOP_K
from common.types import Scope
from deploy.cli.options import DEFAULT_URL, Key, PhotoFile, Url, a_name, connect, upload
from deploy.cli.output import out, say, table, verdict
from deploy.client.answers import ResultBody, SearchBody
from deploy.client.http import Client, ClientError


def search(
    photo: PhotoFile,
    *,
    store: Annotated[str, typer.Option(callback=a_name, help="Home store: where the person stands.")],
    top_k: Annotated[int, typer.Option(min=1, max=MAX_TOP_K, help="Number of candidates.")] = 5,
    scope: Annotated[
        Scope, typer.Option(help="auto: home first, then its group; store: home only; group: all at once.")
    ] = Scope.AUTO,
    picture: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Draw the probe beside its best matches into this file.")
    ] = None,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Who is this? Searches the home store, then the other stores of its group."""
    probe = upload(photo)
    with connect(url, key) as client:
        answer = client.search(store, probe, top_k=top_k, scope=scope.value)
        show(answer)
        if picture is not None:
            draw(client, picture, probe.content, answer["results"])
            say(f"Picture: {picture}")


def show(answer: SearchBody) -> None:
    """A table of candidates for every face in the photo, and how the answer came about."""
    for number, result in enumerate(answer["results"], start=1):
        box = result["box"]
        where = f" at {box['left']},{box['top']} ({box['width']}×{box['height']} pixels)" if box else ""
        face = f"face {number}{where}: " if len(answer["results"]) > 1 else ""
        out().print(
            f"{face}[bold]{verdict(result['verdict'])}[/] (threshold {result['threshold']:.3f})", soft_wrap=True
        )
        rows = [
            [
                c["store"],
                c["face_id"],
                f"{c['score']:.4f}",
                f"{c['distance']:.4f}",
                "yes" if c["score"] >= result["threshold"] else "",
            ]
            for c in result["candidates"]
        ]
        if rows:
            table("", ["store", "face", "score", "distance", "match"], rows, numbers=["score", "distance"])
        say(coverage(result))
    timing = answer["timing"]
    say(
        f"{timing['total_ms']:.0f} ms: encoding {timing['encode_ms']:.0f}, home {timing['home_ms']:.1f}, "
        f"other stores {timing['fan_out_ms']:.1f}"
    )
    if answer["truth"] != "ok":
        say("Redis cannot be reached: this was answered from memory, changes since then are missing.", "yellow")


def coverage(result: ResultBody) -> str:
    """What was looked at, in a sentence."""
    covered, mode = result["coverage"], result["route"]["mode"].replace("_", "-")
    text = (
        f"route {mode}: {covered['stores']['searched']} of {covered['stores']['total']} stores, {covered['rows']} faces"
    )
    failed = ", ".join(f"{shard['shard']} ({shard['code']})" for shard in covered["shards"]["failed"])
    return f"{text}; not searched: {failed or ', '.join(covered['stores']['missing'])}" if _partial(result) else text


def _partial(result: ResultBody) -> bool:
    covered = result["coverage"]
    return bool(covered["shards"]["failed"] or covered["stores"]["missing"])


def draw(client: Client, path: Path, photo: bytes, results: Sequence[ResultBody]) -> None:
    """Write the picture, with thumbnails of those candidates who have one."""
    from deploy.client.picture import save_picture  # noqa: PLC0415  # Pillow only where it is needed

    candidates = results[0]["candidates"] if results else []
    faces = {(c["store"], c["face_id"]): client.thumbnail(c["store"], c["face_id"]) for c in candidates}
    try:
        save_picture(path, photo, results, {who: jpeg for who, jpeg in faces.items() if jpeg is not None})
    except (OSError, ValueError) as error:
        raise ClientError(f"The picture cannot be written to {path}: {error}.") from error


def verify(first: PhotoFile, second: PhotoFile, url: Url = DEFAULT_URL, key: Key = "") -> None:
    """Do these two photos show the same person? One face in each."""
    with connect(url, key) as client:
        answer = client.verify(upload(first), upload(second))
    words = "the same person" if answer["match"] else "not the same person"
    say(words, "bold green" if answer["match"] else "bold cyan")
    say(f"score {answer['score']:.4f}, distance {answer['distance']:.4f}, threshold {answer['threshold']:.4f}")
