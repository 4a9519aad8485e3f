"""A sheet of probes beside their best candidates, for a human to judge: are the mistakes mistakes?"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image, ImageOps

from deploy.client.answers import BoxBody
from gateway.encoder.decode import Pixels

SIDE = 160
"""pixels of a photo on the sheet"""
AROUND = 0.35
"""of a face's box, shown on each side of it"""
RIGHT, WRONG, PLAIN = "#1a8f4c", "#c62f2f", "#b8bec6"


@dataclass(frozen=True, slots=True)
class Card:
    """One photo on the sheet."""

    photo: bytes | None
    box: BoxBody | None
    """the face, where it is known; otherwise the whole photo is shown"""
    lines: tuple[str, ...]
    matched: bool = False
    right: bool = True
    """a match with the right person, or a probe that was answered rightly"""


@dataclass(frozen=True, slots=True)
class Row:
    probe: Card
    candidates: tuple[Card, ...]
    """best first"""


def save_sheet(path: Path, rows: Sequence[Row], title: str) -> None:
    """PNG. Green frames are right matches, red ones wrong; a probe's frame says whether its answer was right."""
    across = 1 + max(len(row.candidates) for row in rows)
    figure = Figure((1.75 * across, 2.35 * len(rows) + 0.5), 110, layout="constrained")
    figure.suptitle(title, fontsize=11)
    grid = figure.subplots(len(rows), across, squeeze=False)
    for axes_row, row in zip(grid, rows, strict=True):
        cards = [row.probe, *row.candidates]
        for axes, card in zip(axes_row, [*cards, *[None] * (across - len(cards))], strict=True):
            _draw(axes, card, probe=card is row.probe)
    figure.savefig(path)


def _draw(axes: Axes, card: Card | None, probe: bool) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    framed = card is not None and (probe or card.matched)
    colour = (RIGHT if card.right else WRONG) if card is not None and framed else PLAIN
    for spine in axes.spines.values():
        spine.set(visible=card is not None, color=colour, linewidth=3 if framed else 1)
    if card is None:
        return
    axes.imshow(_shown(card.photo, card.box))
    axes.set_title("\n".join(card.lines), fontsize=7.5, color="black" if probe else "#444444")


def _shown(photo: bytes | None, box: BoxBody | None) -> Pixels:
    """(SIDE, SIDE, 3): the face and what is around it, or the middle of the photo."""
    if photo is None:
        return np.full((SIDE, SIDE, 3), 236, dtype=np.uint8)
    with Image.open(io.BytesIO(photo)) as opened:
        upright = ImageOps.exif_transpose(opened).convert("RGB")
    if box is not None:
        wide, high = round(AROUND * box["width"]), round(AROUND * box["height"])
        left, top = box["left"] - wide, box["top"] - high
        upright = upright.crop((left, top, left + box["width"] + 2 * wide, top + box["height"] + 2 * high))
    return np.asarray(ImageOps.fit(upright, (SIDE, SIDE)))
