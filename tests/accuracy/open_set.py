"""Open-set identification on LFW with dlib's embeddings, Facegrid's way and the tutorial's:

    python -m tests.accuracy.open_set [EMBEDDINGS.npz] [--json FILE]

The people are split: CURVE_PEOPLE of them make the FMR curve, galleries, probes and strangers come from the others.
Each of SPLITS splits is drawn DRAWS times for every protocol (`deploy.measure.open_set` says how). LFW has few people
with many photos, so large galleries of the protocol 3/2 are filled with people of fewer; the table says how many.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from deploy.cli.output import say, table
from deploy.measure.curve import fit_curve
from deploy.measure.labelled import Floats, Labelled, read_npz
from deploy.measure.open_set import Measured, Protocol, Rate, by_facegrid, by_tutorial, draw, templates_of
from tests.conftest import REPOSITORY

EMBEDDINGS = REPOSITORY.parent / "shared" / "embeddings" / "lfw_dlib_dev.npz"
CURVE_PEOPLE = 700
SPLITS, DRAWS = 10, 4
TARGET_FPIR = 0.01
PROTOCOLS = tuple(Protocol(enrol, probe, size) for enrol, probe in ((1, 1), (3, 2)) for size in (60, 500, 1500))
WAYS = ("facegrid", "tutorial")


@dataclass(frozen=True, slots=True)
class Found:
    """One protocol, told in one way."""

    way: str
    enrol: int
    probe: int
    gallery: int
    templates: list[float]
    """faces of a gallery with 1, 2, … templates, on average"""
    draws: int
    probes: int
    """searches for enrolled people, over all draws"""
    strangers: int
    fpir: Rate
    """at the default target of 1%, or at the cut-off 0.6"""
    tpir: Rate
    """likewise"""
    tpir_at_1: Rate
    """at exactly 1% FPIR"""
    tpir_at_5: Rate
    rank_1: Rate


def measure(
    path: Path, protocols: Sequence[Protocol] = PROTOCOLS, splits: int = SPLITS, draws: int = DRAWS, seed: int = 1
) -> Iterator[Found]:
    """Both ways for each protocol, from the same draws."""
    everybody, raw = read_npz(path), _raw(path)
    chance = np.random.default_rng(seed)
    measured = {(protocol, way): Measured() for protocol in protocols for way in WAYS}
    galleries: dict[Protocol, list[list[float]]] = {protocol: [] for protocol in protocols}
    for _ in range(splits):
        order = chance.permutation(everybody.people)
        curve = fit_curve(everybody.only(order[:CURVE_PEOPLE]), "a part of LFW").curve
        others = np.isin(everybody.persons, order[CURVE_PEOPLE:])
        people = Labelled.of(everybody.rows[others], everybody.persons[others])
        for protocol in protocols:
            for _ in range(draws):
                drawn = draw(people, protocol, chance)
                galleries[protocol].append(templates_of([drawn], protocol.enrol))
                by_both = by_facegrid(people, drawn, curve, TARGET_FPIR), by_tutorial(raw[others], drawn)
                for way, outcome in zip(WAYS, by_both, strict=True):
                    measured[protocol, way].outcomes.append(outcome)
    for (protocol, way), outcomes in measured.items():
        yield _found(way, protocol, outcomes, [float(mean) for mean in np.mean(galleries[protocol], axis=0)])


def _raw(path: Path) -> Floats:
    """Embeddings as the encoder gave them; the tutorial does not scale them to unit length."""
    with np.load(path) as archive:
        return np.asarray(archive["embeddings"], dtype=np.float64)


def _found(way: str, protocol: Protocol, measured: Measured, templates: list[float]) -> Found:
    return Found(
        way=way,
        enrol=protocol.enrol,
        probe=protocol.probe,
        gallery=protocol.gallery,
        templates=templates,
        draws=len(measured.outcomes),
        probes=measured.probes,
        strangers=measured.strangers,
        fpir=measured.fpir(),
        tpir=measured.tpir(),
        tpir_at_1=measured.tpir_at(0.01),
        tpir_at_5=measured.tpir_at(0.05),
        rank_1=measured.rank_1(),
    )


def show(found: Sequence[Found]) -> None:
    say(f"LFW, dlib; curve from {CURVE_PEOPLE} people, measured on the others. Means over {found[0].draws} draws.")
    rows = [
        [
            f"{one.enrol}/{one.probe}",
            f"{one.gallery:,}",
            one.way,
            f"{one.fpir.mean:.1%}",
            f"{100 * one.fpir.low:.1f}–{100 * one.fpir.high:.1f}",
            f"{one.tpir.mean:.1%}",
            f"{one.tpir_at_1.mean:.1%}",
            f"{one.tpir_at_5.mean:.1%}",
            f"{one.rank_1.mean:.1%}",
        ]
        for one in found
    ]
    numbers = ["faces", "FPIR", "draws", "found", "at 1%", "at 5%", "rank-1"]
    table("", ["k/m", "faces", "way", *numbers[1:]], rows, numbers=numbers)
    say("k/m: photos enrolled/searched for. FPIR, found: at a target of 1%, or the tutorial's cut-off of 0.6.")
    say("At 1%, 5%: found, at the threshold where just so many strangers match. Draws: the middle 95% of them.")
    for one in found[:: len(WAYS)]:
        counts = ", ".join(f"{round(count)} with {at}" for at, count in enumerate(one.templates, start=1))
        say(
            f"{one.enrol}/{one.probe}, {one.gallery:,} faces: {counts} template(s); a draw has "
            f"{one.probes // one.draws} probes of enrolled people, {one.strangers // one.draws} of strangers."
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("embeddings", nargs="?", type=Path, default=EMBEDDINGS)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    found = list(measure(options.embeddings))
    show(found)
    if options.json:
        options.json.write_text(json.dumps([asdict(one) for one in found], indent=2) + "\n")


if __name__ == "__main__":
    main()
