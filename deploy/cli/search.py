"""`search`: who is in this photo? `verify`: do two photos show one person?"""

# ruff: noqa: PLR0913  # the options of a command are its parameters

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from common.limits import MAX_TOP_K
from common.types import Scope
from deploy.cli.options import DEFAULT_URL, Key, PhotoFile, Url, a_name, connect, naming, upload
from deploy.cli.output import out, say, table, verdict
from deploy.client.answers import CandidateBody, ResultBody, SearchBody
from deploy.client.http import Client, ClientError, Problem

CANDIDATES = ("store", "face", "score", "threshold", "distance", "match")


PhotoFiles = Annotated[
    list[Path],
    typer.Argument(metavar="PHOTO...", exists=True, dir_okay=False, help="A photo; or several of one person."),
]


def search(
    photos: PhotoFiles,
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
    """Who is this? Searches the home store, then the other stores of its group.

    One photo: everybody in it. Several photos: they show one person, who is recognised better by them together.
    """
    probe = [upload(photo) for photo in photos]
    with connect(url, key) as client:
        try:
            answer = client.search(store, *probe, top_k=top_k, scope=scope.value)
        except Problem as problem:
            raise naming(problem, photos) from problem
        show(answer)
        if picture is not None:
            draw(client, picture, probe[0].content, answer["results"])
            say(f"Picture: {picture}")


def show(answer: SearchBody) -> None:
    """A table of candidates for every face in the photo, and how the answer came about."""
    for number, result in enumerate(answer["results"], start=1):
        box = result["box"]
        where = f" at {box['left']},{box['top']} ({box['width']}×{box['height']} pixels)" if box else ""
        face = f"face {number}{where}: " if len(answer["results"]) > 1 else ""
        why = f", {result['reason']}" if result["reason"] else ""
        out().print(
            f"{face}[bold]{verdict(result['verdict'])}[/]{why} (threshold {result['threshold']:.3f})", soft_wrap=True
        )
        if result["candidates"]:
            table("", CANDIDATES, [_cells(candidate) for candidate in result["candidates"]], numbers=CANDIDATES[2:5])
        if not result["threshold_measured"]:
            say("So many faces need a threshold that nobody has measured; it is the curve's, continued.", "yellow")
        say(coverage(result))
    timing = answer["timing"]
    say(
        f"{timing['total_ms']:.0f} ms: encoding {timing['encode_ms']:.0f}, home {timing['home_ms']:.1f}, "
        f"other stores {timing['fan_out_ms']:.1f}"
    )
    if answer["truth"] != "ok":
        say("Redis cannot be reached: this was answered from memory, changes since then are missing.", "yellow")


def _cells(candidate: CandidateBody) -> list[str]:
    return [
        candidate["store"],
        candidate["face_id"],
        f"{candidate['score']:.4f}",
        f"{candidate['threshold']:.4f}",
        f"{candidate['distance']:.4f}",
        "yes" if candidate["score"] >= candidate["threshold"] else "",
    ]


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


def verify(
    first: PhotoFile,
    second: Annotated[
        Path | None, typer.Argument(metavar="[PHOTO]", exists=True, dir_okay=False, help="Another photo.")
    ] = None,
    *,
    fmr: Annotated[
        float | None,
        typer.Option(min=1e-9, max=0.5, help="Accepted chance that two different people match; else the gateway's."),
    ] = None,
    store: Annotated[str | None, typer.Option(callback=a_name, help="Compare with a face enrolled here.")] = None,
    face: Annotated[str | None, typer.Option(callback=a_name, help="That face.")] = None,
    space: Annotated[
        str | None, typer.Option(callback=a_name, help="Embedding space of two photos; else dlib's.")
    ] = None,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Do these two photos show the same person? Or this photo and an enrolled face? One face in each photo."""
    if (store is None) != (face is None) or (second is None) != (store is not None):
        raise typer.BadParameter("Give two photos, or one and --store and --face.")
    asked = {"fmr": fmr, "store": store, "face_id": face, "space": space}
    photos = [path for path in (first, second) if path is not None]
    form = {name: str(value) for name, value in asked.items() if value is not None}
    probes = [upload(photo) for photo in photos]
    with connect(url, key) as client:
        try:
            answer = client.verify(probes, form)
        except Problem as problem:
            raise naming(problem, photos) from problem
    words = "the same person" if answer["match"] else "not the same person"
    say(words, "bold green" if answer["match"] else "bold cyan")
    say(f"score {answer['score']:.4f}, distance {answer['distance']:.4f}")
    guess = "" if answer["threshold_measured"] else "; so small a chance was never measured, the threshold is a guess"
    say(
        f"threshold {answer['threshold']:.4f}, which different people reach with a chance of {answer['fmr']:.2g}{guess}"
    )
    say(f"they reach this score with a chance of about {answer['fmr_at_score']:.1g}")
