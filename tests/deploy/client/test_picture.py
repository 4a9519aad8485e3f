"""The picture of a search, by its pixels."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from deploy.client.answers import BoxBody, CandidateBody, ResultBody
from deploy.client.picture import COLOURS, draw_picture, save_picture

RED, BLUE = (250, 10, 10), (10, 10, 250)


def jpeg(colour: tuple[int, int, int], size: tuple[int, int] = (200, 100), orientation: int = 1) -> bytes:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", size, colour).save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def result(verdict: str, *scores: float) -> ResultBody:
    box: BoxBody = {"left": 50, "top": 25, "width": 50, "height": 50}
    candidates: list[CandidateBody] = [
        {"store": "s", "face_id": f"f{at}", "score": score, "distance": 0.5, "photos": 1, "threshold": 0.94}
        for at, score in enumerate(scores)
    ]
    return {
        "box": box,
        "verdict": verdict,
        "reason": None,
        "candidates": candidates,
        "threshold": 0.94,
        "threshold_measured": True,
        "coverage": {
            "stores": {"total": 1, "searched": 1, "missing": []},
            "rows": 1,
            "shards": {"total": 1, "ok": 1, "failed": []},
        },
        "route": {"mode": "home", "shard": "s1"},
    }


def pixels_near(image: Image.Image, colour: tuple[int, int, int]) -> int:
    data = image.convert("RGB").tobytes()
    return sum(all(abs(data[at + c] - colour[c]) < 30 for c in range(3)) for at in range(0, len(data), 3))


def test_the_probe_is_framed_and_only_kept_faces_are_shown() -> None:
    without = draw_picture(jpeg(RED), [result("match", 0.97, 0.8)], {})
    with_one = draw_picture(jpeg(RED), [result("match", 0.97, 0.8)], {("s", "f0"): jpeg(BLUE, (150, 150))})
    assert pixels_near(without, RED) > 10_000
    assert pixels_near(without, COLOURS["match"]) > 1_000
    assert pixels_near(without, BLUE) == 0
    assert pixels_near(with_one, BLUE) > 10_000


def test_a_candidate_below_the_threshold_has_no_edge_of_a_match() -> None:
    below = draw_picture(jpeg(RED), [result("no_match", 0.8)], {})
    assert pixels_near(below, COLOURS["match"]) == 0


def test_a_turned_photo_is_shown_upright() -> None:
    flat = draw_picture(jpeg(RED, (200, 100)), [result("match", 0.97)], {})
    turned = draw_picture(jpeg(RED, (200, 100), orientation=6), [result("match", 0.97)], {})
    assert turned.width < flat.width
    assert turned.height > flat.height


@pytest.mark.parametrize("count", [0, 1, 5, 6, 100])
def test_any_number_of_candidates_fits(count: int) -> None:
    drawn = draw_picture(jpeg(RED), [result("no_match", *[0.5] * count)], {})
    assert drawn.width < 2000
    assert (drawn.height > 4000) == (count == 100)


def test_no_result_at_all_is_drawn_too(tmp_path: Path) -> None:
    save_picture(tmp_path / "out.png", jpeg(RED), [], {})
    with Image.open(tmp_path / "out.png") as saved:
        assert saved.format == "PNG"
