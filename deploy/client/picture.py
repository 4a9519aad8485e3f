"""A picture of a search: the probe with its face framed, beside its best matches with score and distance.

A match whose aligned face was not kept at enrolment gets a card without a face; nothing is ever made up.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from deploy.client.answers import CandidateBody, ResultBody

MARGIN, GAP = 24, 16
PROBE = 380  # longest side of the probe
CARD_WIDTH, FACE, CARD_HEIGHT = 168, 136, 232
COLUMNS = 5
HEADER = 64
INK, GREY, PAPER, CARD = (32, 36, 44), (122, 128, 138), (246, 247, 249), (255, 255, 255)
COLOURS = {"match": (24, 128, 72), "no_match": (122, 128, 138), "inconclusive": (190, 112, 0)}

Thumbnails = Mapping[tuple[str, str], bytes]
"""(store, face id) → JPEG, only of those whose face was kept"""


def save_picture(path: Path, photo: bytes, results: Sequence[ResultBody], thumbnails: Thumbnails) -> None:
    """Write the picture of the first result. Raises OSError or ValueError if the path cannot be written so."""
    draw_picture(photo, results, thumbnails).save(path)


def draw_picture(photo: bytes, results: Sequence[ResultBody], thumbnails: Thumbnails) -> Image.Image:
    """The probe with every face framed; to its right the candidates of the first (largest) face as cards."""
    result = results[0] if results else None
    candidates = result["candidates"] if result else []
    probe = _probe(photo, results)
    rows = max(1, -(-len(candidates) // COLUMNS))
    cards_width = max(1, min(COLUMNS, len(candidates))) * (CARD_WIDTH + GAP) - GAP
    cards_height = rows * (CARD_HEIGHT + GAP) - GAP
    left = MARGIN + probe.width + 2 * GAP
    size = (left + cards_width + MARGIN, HEADER + max(probe.height, cards_height) + MARGIN)
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    sheet.paste(probe, (MARGIN, HEADER))
    draw.text((MARGIN, 20), "Probe", INK, _font(20))
    title, colour = _title(result)
    draw.text((left, 20), title, colour, _font(20))
    for at, candidate in enumerate(candidates):
        corner = (left + at % COLUMNS * (CARD_WIDTH + GAP), HEADER + at // COLUMNS * (CARD_HEIGHT + GAP))
        threshold = result["threshold"] if result else 1.0
        _draw_card(sheet, corner, candidate, threshold, thumbnails.get((candidate["store"], candidate["face_id"])))
    return sheet


def _title(result: ResultBody | None) -> tuple[str, tuple[int, int, int]]:
    if result is None:
        return "no face", GREY
    words = result["verdict"].replace("_", " ")
    return f"{words} (threshold {result['threshold']:.3f})", COLOURS.get(result["verdict"], INK)


def _probe(photo: bytes, results: Sequence[ResultBody]) -> Image.Image:
    with Image.open(io.BytesIO(photo)) as opened:
        upright = ImageOps.exif_transpose(opened).convert("RGB")
    scale = PROBE / max(upright.size)
    small = upright.resize((max(1, round(upright.width * scale)), max(1, round(upright.height * scale))))
    draw = ImageDraw.Draw(small)
    for result in results:
        if (box := result["box"]) is not None:
            corners = (box["left"], box["top"], box["left"] + box["width"], box["top"] + box["height"])
            draw.rectangle([side * scale for side in corners], outline=COLOURS.get(result["verdict"], INK), width=3)
    return small


def _draw_card(
    sheet: Image.Image, corner: tuple[int, int], candidate: CandidateBody, threshold: float, face: bytes | None
) -> None:
    draw = ImageDraw.Draw(sheet)
    left, top = corner
    matched = candidate["score"] >= threshold
    edge = COLOURS["match"] if matched else (214, 218, 224)
    draw.rounded_rectangle([left, top, left + CARD_WIDTH, top + CARD_HEIGHT], 10, CARD, edge, 3 if matched else 1)
    face_left = left + (CARD_WIDTH - FACE) // 2
    if face is not None:
        with Image.open(io.BytesIO(face)) as kept:
            sheet.paste(ImageOps.fit(kept.convert("RGB"), (FACE, FACE)), (face_left, top + 16))
    else:
        area = [face_left, top + 16, face_left + FACE, top + 16 + FACE]
        draw.rounded_rectangle(area, 6, (236, 238, 242))
        draw.text((left + CARD_WIDTH / 2, top + 16 + FACE / 2), "no photo kept", GREY, _font(14), anchor="mm")
    middle = left + CARD_WIDTH / 2
    lines = [
        (_short(candidate["face_id"], 15), INK, _font(15)),
        (f"store {_short(candidate['store'], 14)}", GREY, _font(13)),
        (f"score {candidate['score']:.3f}   dist. {candidate['distance']:.3f}", edge if matched else GREY, _font(13)),
    ]
    for at, (text, colour, font) in enumerate(lines):
        _draw_centred(draw, (middle, top + FACE + 32 + 23 * at), text, colour, font)


def _draw_centred(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    colour: tuple[int, int, int],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    draw.text(at, text, colour, font, anchor="mm" if isinstance(font, ImageFont.FreeTypeFont) else None)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
