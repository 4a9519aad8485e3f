"""The FMR curve that Facegrid comes with, measured again: `python -m tests.accuracy.dlib_curve [EMBEDDINGS.npz]`.

Writes gateway/curves/dlib-resnet-v1.json; a test compares it with what this would write.
"""

from __future__ import annotations

import sys
from pathlib import Path

from common.types import DLIB_SPACE
from deploy.cli.output import say
from deploy.measure.curve import Fit, fit_curve
from deploy.measure.labelled import read_npz
from tests.accuracy.open_set import EMBEDDINGS
from tests.conftest import REPOSITORY

SHIPPED = REPOSITORY / "gateway" / "curves" / f"{DLIB_SPACE}.json"


def fit(path: Path) -> Fit:
    people = read_npz(path)
    source = f"LFW, {len(people.rows):,} photos of {people.people:,} people, dlib, unit length"
    return fit_curve(people, source)


def main() -> None:
    found = fit(Path(sys.argv[1]) if len(sys.argv) > 1 else EMBEDDINGS)
    SHIPPED.write_text(found.curve.to_json(DLIB_SPACE))
    say(f"{SHIPPED}: {found.curve.pairs:,} pairs; exponents measured down to an FMR of {found.means_down_to:.1e}.")


if __name__ == "__main__":
    main()
