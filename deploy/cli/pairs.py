"""`pairs`: the pairs protocol of Labeled Faces in the Wild, on any photos laid out as its are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common.types import DLIB_SPACE
from deploy.cli.calibrate import Models, SpaceName, encode
from deploy.cli.output import say, table
from deploy.client.photos import Photo

if TYPE_CHECKING:
    from deploy.measure.lfw_pairs import Judged, Pair


def pairs(
    pairs_file: Annotated[Path, typer.Argument(metavar="PAIRS", exists=True, dir_okay=False, help="pairs.txt")],
    people: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="NAME/NAME_0001.jpg, …")],
    *,
    space: SpaceName = DLIB_SPACE,
    models: Models = None,
) -> None:
    """Are two photos one person? Accuracy over ten folds, by the pairs protocol of Labeled Faces in the Wild.

    Needs no cluster. A line of PAIRS is `name n1 n2`, or `name1 n1 name2 n2` of two people, as in LFW's pairs.txt.
    """
    from deploy.measure.lfw_pairs import photo_of, read_pairs  # noqa: PLC0415

    wanted = read_pairs(pairs_file)
    paths = {who: photo_of(people, pairs_file, pair.line, who) for pair in wanted for who in (pair.one, pair.other)}
    photos = {who: Photo(str(path), path) for who, path in paths.items()}
    encoded = encode(list(photos.values()), space, models)
    row_of = {photo.name: row for photo, row in zip(encoded.photos, encoded.rows, strict=True)}
    usable = [pair for pair in wanted if {photos[pair.one].name, photos[pair.other].name} <= row_of.keys()]
    scores = [float(row_of[photos[pair.one].name] @ row_of[photos[pair.other].name]) for pair in usable]
    _show(_judged(usable, scores), len(wanted), space)


def _judged(usable: list[Pair], scores: list[float]) -> Judged:
    import numpy as np  # noqa: PLC0415

    from deploy.measure.lfw_pairs import judge  # noqa: PLC0415

    same, folds = np.array([pair.same for pair in usable]), np.array([pair.fold for pair in usable])
    return judge(np.array(scores), same, folds)


def _show(judged: Judged, wanted: int, space: str) -> None:
    count = judged.same + judged.different
    say(f"{space}: {judged.same:,} pairs of one person and {judged.different:,} of two.")
    lost = wanted - count
    if lost:
        right = judged.accuracy * count / wanted
        say(f"{lost:,} pairs have a photo without a face and are left out; counted as wrong: {right:.2%}.", "yellow")
    rows = [
        ["accuracy, 10 folds", f"{judged.accuracy:.2%} ± {judged.standard_error:.2%} (standard error)"],
        ["threshold, mean of the folds", f"{judged.threshold:.4f}"],
        ["area under the ROC curve", f"{judged.auc:.5f}"],
        ["equal error rate", f"{judged.eer:.2%}"],
    ]
    for one in judged.accepted:
        interval = f"{one.interval.low:.1%} to {one.interval.high:.1%}"
        behind = f"{one.false_accepts} pairs of two accepted"
        rows.append([f"TAR at FAR {one.far:.1%}", f"{one.part:.2%} ({interval}); {behind}"])
    table("", ["", ""], rows)
