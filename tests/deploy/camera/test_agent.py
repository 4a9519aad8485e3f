"""From drawn boxes to sightings: which photos, and which times."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image, ImageFilter

from common.limits import NAME
from deploy.camera.agent import PHOTOS, PIECE_MS, WORTH_CLOSING_MS, Agent
from deploy.camera.source import Frame
from deploy.camera.spool import name_of
from deploy.client.sightings import Sighting
from gateway.encoder import Box
from tests.deploy.camera.made import NINE, Drawn, box, frames


def watched(boxes: Iterable[Sequence[Box]], step_ms: int = 200, seen: Sequence[Frame] | None = None) -> list[Sighting]:
    """The sightings of frames with these faces."""
    drawn = list(boxes)
    put: list[Sighting] = []
    agent = Agent("vienna", "door", Drawn(drawn), put.append)
    for frame in seen if seen is not None else frames(len(drawn), step_ms):
        agent.see(frame)
    agent.end()
    return put


def times(sightings: Sequence[Sighting]) -> list[int]:
    return [sighting.at_ms - NINE for sighting in sightings]


def test_a_person_who_passes_is_one_sighting_of_the_first_moment() -> None:
    (sighting,) = watched([[box(10 * nth)] for nth in range(10)])
    assert (sighting.store, sighting.camera, sighting.at_ms) == ("vienna", "door", NINE)
    assert len(sighting.shots) == PHOTOS
    assert all(NINE <= shot.at_ms < NINE + 2000 for shot in sighting.shots)


def test_two_people_are_two_sightings_with_names_of_their_own() -> None:
    both = watched([[box(10 * nth), box(400, top=200)] for nth in range(4)])
    assert times(both) == [0, 0]
    assert both[0].track != both[1].track


def test_who_stays_is_told_again_at_the_last_moment_with_the_same_photos() -> None:
    stayed = WORTH_CLOSING_MS // 200 + 1
    first, last = watched([[box(0)] for _ in range(stayed + 1)])
    assert times([first, last]) == [0, 200 * stayed]
    assert first.shots == last.shots
    assert first.track == last.track
    assert times(watched([[box(0)] for _ in range(stayed)])) == [0]


def test_a_long_stay_is_told_in_pieces_while_it_lasts_and_the_last_moment_is_told() -> None:
    boxes = [[box(0)]] * (2 * PIECE_MS // 1000 + 11)
    put: list[Sighting] = []
    agent = Agent("vienna", "door", Drawn(boxes), put.append)
    told_after: list[int] = []
    for nth, frame in enumerate(frames(len(boxes), 1000)):
        before = len(put)
        agent.see(frame)
        told_after += [nth] * (len(put) - before)
    agent.end()
    assert times(put) == [0, 2 * PIECE_MS, 2 * PIECE_MS + 10_000]
    assert told_after == [PIECE_MS // 1000, 2 * PIECE_MS // 1000]
    assert len({sighting.track for sighting in put}) == 1
    assert len({(sighting.at_ms, sighting.part) for sighting in put}) == 3


def test_a_stay_that_ends_with_a_piece_has_nothing_more_to_tell() -> None:
    put = watched([[box(0)]] * (PIECE_MS // 1000 + 1), 1000)
    assert times(put) == [0]


def test_the_sharpest_photos_are_kept() -> None:
    rng = np.random.default_rng(5)
    sharp = Image.fromarray(np.repeat(np.repeat(rng.integers(0, 255, (50, 75, 3), dtype=np.uint8), 8, 0), 8, 1))
    blur = [6, 0, 5, 1, 4, 2, 3]
    seen = [
        Frame(np.asarray(sharp.filter(ImageFilter.GaussianBlur(radius))), NINE + 200 * nth)
        for nth, radius in enumerate(blur)
    ]
    (sighting,) = watched([[box(100)]] * len(blur), seen=seen)
    assert [(shot.at_ms - NINE) // 200 for shot in sighting.shots] == [1, 3, 5]
    with Image.open(io.BytesIO(sighting.shots[0].jpeg)) as crop:
        assert crop.size == (250, 250)


def test_frames_far_apart_are_people_of_their_own() -> None:
    assert times(watched([[box(0)]] * 3, 60_000)) == [0, 60_000, 120_000]


def test_the_same_frames_again_make_the_same_sightings_and_other_times_other_names() -> None:
    boxes = [[box(0), box(300)]] * 3
    assert watched(boxes) == watched(boxes)
    names = {sighting.track for sighting in watched(boxes)}
    later = {sighting.track for sighting in watched(boxes, seen=frames(3, start_ms=NINE + 1))}
    assert not names & later
    assert all(NAME.fullmatch(name) for name in names | later)


def test_photos_of_one_instant_with_faces_at_one_place_are_sightings_of_their_own() -> None:
    """Files unpacked together have the same time to the millisecond, and portraits the same place."""
    rng = np.random.default_rng(8)
    seen = [Frame(rng.integers(0, 255, (400, 600, 3), dtype=np.uint8), NINE) for _ in range(3)]
    put = watched([[box(100)]] * 3, seen=seen)
    assert times(put) == [0, 0, 0]
    assert len({name_of(sighting) for sighting in put}) == 3
    assert put == watched([[box(100)]] * 3, seen=seen)


def test_frames_without_anybody_make_nothing() -> None:
    assert watched([[]] * 5) == []
    assert watched([]) == []
