"""`calibrate`: how far can scores be trusted on these people's photos?"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common.errors import WrongDimension
from common.settings import EncoderSettings
from common.types import DLIB_DIMENSION, DLIB_SPACE
from deploy.cli.options import a_name
from deploy.cli.output import list_skipped, progress, say, table
from deploy.client.http import ClientError
from deploy.client.photos import Photo, plan

if TYPE_CHECKING:  # numpy's and matplotlib's import time is for those who calibrate
    from deploy.measure.biometrics import Interval
    from deploy.measure.calibration import Calibration
    from deploy.measure.labelled import Labelled
    from deploy.measure.open_set import Rate
    from deploy.measure.photos import Encoded

SpaceName = Annotated[str, typer.Option(callback=a_name, help="Embedding space.")]
Models = Annotated[
    Path | None,
    typer.Option(exists=True, file_okay=False, help="Folder of models' manifests; else FACEGRID_MODELS."),
]


def calibrate(
    people: Annotated[Path, typer.Argument(exists=True, help="One folder per person, or an .npz: embeddings, person.")],
    *,
    space: SpaceName = DLIB_SPACE,
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder for the curve and the pictures.")] = Path(
        "calibration"
    ),
    models: Models = None,
) -> None:
    """Measure false matches and false non-matches on your own photos, and write the curve that thresholds come from.

    Needs no cluster. Every person needs two photos or more; the more people, the larger the galleries that the curve
    is good for.
    """
    from deploy.measure.calibration import calibrate as measure  # noqa: PLC0415
    from deploy.measure.labelled import read_npz  # noqa: PLC0415
    from gateway.encoder.manifest import CURVE_SUFFIX  # noqa: PLC0415

    _check_writable(out)
    labelled = _encoded(people, space, models) if people.is_dir() else read_npz(people)
    _check_dimension(labelled, space)
    source = f"facegrid calibrate: {len(labelled.rows):,} photos of {labelled.people:,} people in {people.name}"
    found = measure(labelled, source)
    _show(found, space)
    out.mkdir(parents=True, exist_ok=True)
    curve = out / (space + CURVE_SUFFIX)
    curve.write_text(found.fit.curve.to_json(space))
    _draw(found, space, out)
    say(f"Curve: {curve}. Gateways use it from their next start if it lies in their FACEGRID_MODELS.")


def _check_writable(out: Path) -> None:
    """Before an hour of photos is encoded, not after. Nothing is made yet."""
    there = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise typer.BadParameter(f"{out} cannot be written to.", param_hint="--out")


def _check_dimension(labelled: Labelled, space: str) -> None:
    """A curve of other embeddings than dlib's would be taken for dlib's."""
    if space == DLIB_SPACE and labelled.rows.shape[1] != DLIB_DIMENSION:
        detail = f"{DLIB_SPACE} has {DLIB_DIMENSION} numbers, these embeddings {labelled.rows.shape[1]}; name --space."
        raise WrongDimension(detail, field="embeddings", limit=DLIB_DIMENSION)


def encode(photos: Sequence[Photo], space: str, models: Path | None) -> Encoded:
    """With a bar, and what was left out listed."""
    from deploy.measure.photos import encode_photos  # noqa: PLC0415

    settings = EncoderSettings() if models is None else EncoderSettings(models=str(models))
    with progress("Encoding", len(photos)) as bar:
        encoded = encode_photos(photos, space, settings, lambda: bar.advance(bar.task_ids[0]))
    list_skipped(encoded.skipped)
    if encoded.several:
        say(f"{encoded.several} photos show several faces; the largest was taken.", "yellow")
    return encoded


def _encoded(folder: Path, space: str, models: Path | None) -> Labelled:
    from deploy.measure.labelled import Labelled  # noqa: PLC0415

    planned = plan([folder], most=sys.maxsize)
    list_skipped(planned.skipped)
    if not planned.people:
        raise ClientError(f"There are no photos in {folder}.")
    whose = {photo.name: person.face_id for person in planned.people for photo in person.photos}
    encoded = encode([photo for person in planned.people for photo in person.photos], space, models)
    return Labelled.of(encoded.rows, [whose[photo.name] for photo in encoded.photos])


def _show(found: Calibration, space: str) -> None:
    own = len(found.compared.own)
    say(f"{space}: {found.photos:,} photos of {found.people:,} people,")
    say(f"{found.compared.pairs:,} pairs of different people, {own:,} of one person.")
    say(f"Equal error rate {found.equal.rate:.2%} ({_interval(found.equal_interval)}) at {found.equal.threshold:.4f}.")
    rows = [
        [
            f"{rate.threshold:.4f}",
            _small(rate.fmr),
            f"{_small(rate.fmr_interval.low)}–{_small(rate.fmr_interval.high)}",
            f"{rate.false_matches:,}",
            f"{rate.fnmr:.2%}",
            f"{100 * rate.fnmr_interval.low:.2f}–{100 * rate.fnmr_interval.high:.2f}",
            f"{rate.false_non_matches:,}",
        ]
        for rate in found.rates
    ]
    columns = ["threshold", "FMR", "95%", "pairs", "FNMR", "95%", "pairs"]
    table("1:1, with intervals over people and the pairs behind each rate", columns, rows, numbers=columns)
    _show_identified(found)
    _show_reckoned(found)
    _show_support(found, space)


def _show_identified(found: Calibration) -> None:
    if not found.identified:
        say("Too few people have photos enough for galleries to be drawn from them.", "yellow")
        return
    for photos in sorted({(one.protocol.enrol, one.protocol.probe) for one in found.identified}):
        measured = [one for one in found.identified if (one.protocol.enrol, one.protocol.probe) == photos]
        rows = [
            [
                f"{one.protocol.gallery:,}",
                f"{one.threshold:.4f}",
                *_rate(one.fpir),
                *_rate(one.fnir),
                f"{one.rank_1.mean:.1%}",
                f"{one.probes:,}",
            ]
            for one in measured
        ]
        columns = ["faces", "threshold", "FPIR", "draws", "FNIR", "draws", "rank-1", "probes"]
        title = f"1:N, target FPIR 1%: up to {photos[0]} photo(s) enrolled, {photos[1]} searched for, together"
        table(f"{title}; {measured[0].strangers:,} strangers' probes", columns, rows, numbers=columns)
    say("Galleries are drawn from these people, and the curve comes from them too. Draws: the middle 95% of them.")


def _show_reckoned(found: Calibration) -> None:
    rows = [
        [
            f"{one.gallery:,}",
            f"{one.threshold:.4f}",
            f"{one.fmr:.1e}",
            f"{one.fpir:.1%}",
            f"{one.fnir:.1%}",
            "yes" if one.supported else "[yellow]no[/]",
        ]
        for one in found.reckoned
    ]
    columns = ["faces", "threshold", "FMR needed", "FPIR", "FNIR", "measured"]
    table("Larger galleries, reckoned from 1:1: FPIR(N) = 1 - (1 - FMR)^N", columns, rows, numbers=columns[:-1])


def _show_support(found: Calibration, space: str) -> None:
    from gateway.spaces import Spaces  # noqa: PLC0415

    say(
        f"The curve is measured down to an FMR of {found.fit.curve.points[-1].fmr:.1e}, enough for galleries of "
        f"{found.largest_gallery:,} faces at 1% FPIR. Beyond that its last slope goes on, and answers say so "
        "(threshold_measured: false)."
    )
    shipped = Spaces.load("")
    if space in shipped.names and shipped.of(space).curve.points[-1].fmr < found.fit.curve.points[-1].fmr:
        pairs = shipped.of(space).curve.pairs
        say(f"The curve that Facegrid comes with reaches further, from {pairs:,} pairs of other people.", "yellow")
    if found.fit.means_down_to is None:
        say("Too few people have several photos: how thresholds of means rise is taken from LFW with dlib.", "yellow")


def _draw(found: Calibration, space: str, out: Path) -> None:
    from deploy.measure.plots import save_det, save_histogram  # noqa: PLC0415

    det, scores = out / f"{space}.det.png", out / f"{space}.scores.png"
    title = f"{space}: {found.photos:,} photos of {found.people:,} people"
    save_det(det, found.compared, found.rates, found.equal, title)
    save_histogram(scores, found.compared, found.fit.curve, (10, 1_000, 100_000), title)
    say(f"Pictures: {det}, {scores}")


def _interval(interval: Interval) -> str:
    return f"{interval.low:.2%} to {interval.high:.2%}"


def _rate(rate: Rate) -> tuple[str, str]:
    return f"{rate.mean:.1%}", f"{100 * rate.low:.1f}–{100 * rate.high:.1f}"


def _small(rate: float) -> str:
    """`1.2e-6`: one digit less in the exponent, so that a line of the table stays one line."""
    return f"{rate:.1e}".replace("e-0", "e-") if rate else "0"
