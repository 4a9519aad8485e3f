"""Pictures are drawn, whatever the data; sheets choose the searches that a human should see."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from deploy.client.answers import CandidateBody, ResultBody, SearchBody
from deploy.client.evaluation import Identity, Probe
from deploy.client.photos import Person, Photo
from deploy.measure.calibration import calibrate
from deploy.measure.close_calls import chosen, save_pictures
from deploy.measure.plots import save_det, save_histogram
from tests.deploy.measure.invented import people
from tests.gateway.encoder_photos import portrait, saved

ADA, BOB = ("s1", "ada"), ("s2", "bob")


def result(verdict: str, *candidates: tuple[Identity, float]) -> ResultBody:
    found: list[CandidateBody] = [
        {"store": s, "face_id": f, "score": score, "distance": 0.1, "photos": 1, "threshold": 0.9}
        for (s, f), score in candidates
    ]
    return {
        "box": {"left": 60, "top": 80, "width": 120, "height": 120},
        "verdict": verdict,
        "reason": None,
        "candidates": found,
        "threshold": 0.9,
        "threshold_measured": True,
        "coverage": {
            "stores": {"total": 1, "searched": 1, "missing": []},
            "rows": 1,
            "shards": {"total": 1, "ok": 1, "failed": []},
        },
        "route": {"mode": "home", "shard": "s1"},
    }


def answer(one: ResultBody) -> SearchBody:
    timing = {"encode_ms": 1.0, "home_ms": 1.0, "fan_out_ms": 1.0, "total_ms": 3.0}
    return {"store": "s1", "scope": "auto", "truth": "ok", "results": [one], "timing": timing}  # type: ignore[typeddict-item]  # four fields, as a dict


def test_false_matches_come_before_misses_and_those_before_close_calls() -> None:
    probe, stranger = Probe(Photo("1", b""), "s1", ADA), Probe(Photo("2", b""), "s1", None)
    sure, close = result("match", (ADA, 0.99)), result("match", (ADA, 0.901))
    missed, false = result("no_match", (ADA, 0.7)), result("match", (BOB, 0.91))
    asked = [(probe, sure), (probe, missed), (stranger, result("no_match")), (probe, close), (stranger, false)]
    assert [one for _, one in chosen(asked, rows=3)] == [false, close, sure]
    assert [one for _, one in chosen(asked)] == [false, missed, close, sure, result("no_match")]


def test_a_sheet_shows_probes_beside_candidates_even_without_photos(tmp_path: Path) -> None:
    photo = Photo("ada", saved(portrait(), "JPEG"))
    homes = [("s1", Person("ada", (photo,)))]
    asked = Probe(photo, "s2", ADA)
    answers = [(asked, answer(result("match", (ADA, 0.95), (BOB, 0.8)))), (asked, answer(result("no_match")))]
    (path,) = save_pictures(tmp_path / "new", {"at another store": [*answers, (asked, None)]}, homes)
    assert path.name == "top-k-at-another-store.png"
    with Image.open(path) as drawn:
        assert drawn.width > 400
    assert save_pictures(tmp_path, {"strangers": [(asked, None)]}, homes) == []


@pytest.mark.parametrize("photos", [[3] * 30, [6] * 25 + [1] * 60])
def test_a_calibration_is_measured_and_drawn(tmp_path: Path, photos: list[int]) -> None:
    found = calibrate(people(photos), "invented")
    assert (found.people, found.photos) == (len(photos), sum(photos))
    assert found.largest_gallery < found.reckoned[-1].gallery
    assert [one.supported for one in found.reckoned] == [one.gallery <= found.largest_gallery for one in found.reckoned]
    assert all(one.fpir == pytest.approx(0.01) for one in found.reckoned)
    assert {one.protocol.enrol for one in found.identified} == ({1} if len(photos) == 30 else {1, 3})
    assert all(one.fpir.mean < 0.05 for one in found.identified)
    det, scores = tmp_path / "det.png", tmp_path / "scores.png"
    save_det(det, found.compared, found.rates, found.equal, "invented")
    save_histogram(scores, found.compared, found.fit.curve, (10, 1000), "invented")
    for path in (det, scores):
        with Image.open(path) as drawn:
            assert drawn.size == (960, 720)
