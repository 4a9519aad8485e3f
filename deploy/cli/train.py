"""`train`: an encoder of one's own, from photos of known people."""

# ruff: noqa: PLR0913  # the options of a command are its parameters

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common.settings import EncoderSettings
from deploy.cli.options import a_name
from deploy.cli.output import list_skipped, progress, say, table
from deploy.train.recipe import Alignment, Backbone, Machine, Recipe, check_space, check_torch

if TYPE_CHECKING:  # torch is there only for those who train
    from deploy.train.history import Epoch
    from deploy.train.loop import Training
    from deploy.train.photos import Collection
    from deploy.train.run import Prepared

ENOUGH_PEOPLE = 1000
LINES = 10
"""of progress, where no bar can be drawn"""
NET, FIT = "Network", "Training"
BASE = Recipe("")


def train(
    people: Annotated[Path, typer.Argument(metavar="DIR", exists=True, file_okay=False, help="One folder per person.")],
    *,
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder of the run; one that is there goes on.")] = Path(
        "train-run"
    ),
    annotations: Annotated[
        Path | None,
        typer.Option("--list", exists=True, dir_okay=False, help="Lines `path<TAB>person` instead, paths below DIR."),
    ] = None,
    space: Annotated[str, typer.Option(callback=a_name, help="Name of the new embedding space.")] = "own-v1",
    backbone: Annotated[Backbone, typer.Option(rich_help_panel=NET)] = BASE.backbone,
    width: Annotated[
        float, typer.Option(min=0.125, max=2, rich_help_panel=NET, help="Of MobileNetV1: part of its channels.")
    ] = BASE.width,
    size: Annotated[
        int, typer.Option(min=32, max=224, rich_help_panel=NET, help="Side of a face, pixels.")
    ] = BASE.size,
    dimension: Annotated[
        int, typer.Option(min=16, max=1024, rich_help_panel=NET, help="Numbers of an embedding.")
    ] = BASE.dimension,
    alignment: Annotated[
        Alignment, typer.Option(rich_help_panel=NET, help="Eyes level (dlib), or the detector's box.")
    ] = BASE.alignment,
    box_margin: Annotated[
        float, typer.Option(min=0, max=1, rich_help_panel=NET, help="Around the box, in parts of its side.")
    ] = BASE.box_margin,
    epochs: Annotated[int, typer.Option(min=1, max=100_000, rich_help_panel=FIT)] = BASE.epochs,
    hold_out: Annotated[
        float, typer.Option(min=0.01, max=0.9, rich_help_panel=FIT, help="Part of the people that only validates.")
    ] = BASE.hold_out,
    people_each: Annotated[
        int, typer.Option("--batch-people", min=2, max=512, rich_help_panel=FIT, help="P: people in a batch.")
    ] = BASE.people_each,
    photos_each: Annotated[
        int, typer.Option("--batch-photos", min=2, max=64, rich_help_panel=FIT, help="K: photos of each of them.")
    ] = BASE.photos_each,
    margin: Annotated[
        float, typer.Option(min=0, max=2, rich_help_panel=FIT, help="Of the triplet loss, squared distance.")
    ] = BASE.margin,
    classifier: Annotated[
        float, typer.Option(min=0, max=100, rich_help_panel=FIT, help="Weight of the cross-entropy; 0: triplets alone.")
    ] = BASE.classifier,
    learning_rate: Annotated[float, typer.Option(min=1e-6, max=10, rich_help_panel=FIT)] = BASE.learning_rate,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, rich_help_panel=FIT)] = BASE.seed,
    device: Annotated[str, typer.Option(rich_help_panel=FIT, help="cpu, cuda, cuda:1, …")] = "auto",
    threads: Annotated[
        int, typer.Option(min=0, max=1024, rich_help_panel=FIT, help="Of the CPU; 0: half of the cores.")
    ] = 0,
    keep_faces: Annotated[
        bool, typer.Option("--keep-faces", help="Do not remove the cut-out faces at the end; they are biometric data.")
    ] = False,
) -> None:
    """Train a face encoder on your own photos, and export it for this cluster.

    The same command again goes on where the run was, also after a kill: at most the epoch that ran is lost.
    """
    check_torch()
    check_space(space)
    recipe = Recipe(
        space=space,
        backbone=backbone,
        width=width,
        dimension=dimension,
        size=size,
        alignment=alignment,
        box_margin=box_margin,
        hold_out=hold_out,
        epochs=epochs,
        people_each=people_each,
        photos_each=photos_each,
        margin=margin,
        classifier=classifier,
        learning_rate=learning_rate,
        seed=seed,
    )
    recipe.check()
    from deploy.train.photos import from_folder, from_list  # noqa: PLC0415
    from deploy.train.private import locked  # noqa: PLC0415

    photos = from_folder(people) if annotations is None else from_list(annotations, people)
    list_skipped(photos.skipped)
    with locked(out):
        _run(photos, out, recipe, Machine(device, threads), keep_faces)


def _run(photos: Collection, out: Path, recipe: Recipe, machine: Machine, keep_faces: bool) -> None:
    from deploy.train import run  # noqa: PLC0415
    from deploy.train.loop import device_of  # noqa: PLC0415

    device_of(machine)  # before hours of cutting, not after
    with progress("Cutting out faces", len(photos.photos)) as bar:
        prepared = run.prepare(photos, out, recipe, EncoderSettings(), lambda: bar.advance(bar.task_ids[0]))
    _introduce(prepared)
    training = run.start(prepared, out, recipe, machine)
    say(_where(training, recipe))
    with progress("Training", recipe.epochs) as bar:
        bar.advance(bar.task_ids[0], training.done)
        reporter = _reporter(recipe.epochs, lambda: bar.advance(bar.task_ids[0]))
        run.train(training, out, f"{recipe.space}: {recipe.backbone}, {recipe.size} pixels", reporter)
    _show(training.history[0], training.history[-1])
    exported = run.finish(training, prepared, out, recipe, keep_faces)
    say(f"Exported; ONNX and torch differ by at most {exported.difference:.1e}. Curves: {out / run.PLOT}")
    smallest = exported.curve.points[-1].fmr
    say(f"Thresholds are measured down to an FMR of {smallest:.1g}; `facegrid calibrate` on more people goes further.")
    say(f"To serve it: FACEGRID_MODELS={exported.manifest.parent} facegrid up")
    say(f"and in a second terminal: facegrid stores add NAME --space {recipe.space}")


def _introduce(prepared: Prepared) -> None:
    cut, split, data = prepared.cut, prepared.split, prepared.data
    trained, held = int(data.train.people.max()) + 1, int(data.validation.people.max()) + 1
    say(
        f"{len(data.train.rows)} faces of {trained} people to train on; {len(data.validation.rows)} of {held} "
        "other people are held out and validate (split by person)."
    )
    left_out = {
        "photos without a face": cut.without_face,
        "unreadable photos": cut.unreadable,
        "people with one photo": split.single,
    }
    if any(left_out.values()):
        say("Left out: " + ", ".join(f"{count} {what}" for what, count in left_out.items() if count) + ".")
    if trained < ENOUGH_PEOPLE:
        say(
            f"With fewer than {ENOUGH_PEOPLE:,} people a network learns these people more than faces: expect far less "
            "than dlib's own space, which learned from three million photos.",
            style="yellow",
        )


def _where(training: Training, recipe: Recipe) -> str:
    if training.done == recipe.epochs:
        return f"All {recipe.epochs} epochs are trained."
    onwards = f", from epoch {training.done + 1} of {recipe.epochs}" if training.history else ""
    return f"Training {recipe.backbone} on {training.device}{onwards}."


def _reporter(epochs: int, advance: Callable[[], object]) -> Callable[[Epoch], None]:
    """Moves the bar, and prints about LINES lines in a run."""
    every = max(1, epochs // LINES)

    def report(epoch: Epoch) -> None:
        if epoch.losses is not None:
            advance()
        if epoch.number % every == 0 or epoch.number == epochs:
            say(_line(epoch))

    return report


def _line(epoch: Epoch) -> str:
    found = epoch.validation
    tar = ", ".join(f"TAR {part:.1%} at FAR {far:g}" for far, part in found.tar.items())
    losses = "untrained"
    if epoch.losses is not None:
        losses = f"triplet loss {epoch.losses.triplet:.3f}, cross-entropy {epoch.losses.classifier:.2f}"
    return f"epoch {epoch.number}: {losses}; accuracy {found.accuracy:.1%}, {tar}"


def _show(first: Epoch, last: Epoch) -> None:
    found = last.validation
    rows = [["accuracy", f"{first.validation.accuracy:.1%}", f"{found.accuracy:.1%}", "-"]]
    for far, part in found.tar.items():
        behind = str(int(far * found.different))
        rows.append([f"TAR at FAR {far:g}", f"{first.validation.tar[far]:.1%}", f"{part:.1%}", behind])
    columns = ["on people not trained on", "untrained", f"epoch {last.number}", "pairs behind the FAR"]
    table("", columns, rows, numbers=columns[1:])
    say(f"{found.same:,} pairs of one person, {found.different:,} of different people.")
