"""Tracks, with drawn boxes."""

from __future__ import annotations

import numpy as np
import pytest

from deploy.camera.track import GAP_MS, LEAST_OVERLAP, Tracker, link, overlap
from gateway.encoder import Box
from tests.deploy.camera.made import box


def numbers(tracker: Tracker, at_ms: int, *boxes: Box) -> list[int]:
    return [track.number for track in tracker.update(at_ms, boxes).seen]


def test_overlap_is_the_common_part_of_all() -> None:
    assert overlap(box(0), box(0)) == 1
    assert overlap(box(0), box(50)) == pytest.approx(1 / 3)
    assert overlap(box(0), box(100)) == 0
    assert overlap(box(0), Box(25, 125, 50, 50)) == pytest.approx(1 / 4)


def test_boxes_are_linked_by_the_greatest_overlap_first_and_each_once() -> None:
    assert link([box(0), box(60)], [box(50), box(10)]) == {0: 1, 1: 0}
    assert link([box(0)], [box(5), box(1)]) == {1: 0}
    assert link([], [box(0)]) == link([box(0)], []) == {}


def test_too_little_overlap_is_no_link() -> None:
    assert overlap(box(0), box(55)) < LEAST_OVERLAP < overlap(box(0), box(50))
    assert link([box(0)], [box(55)]) == {}
    assert link([box(0)], [box(50)]) == {0: 0}


def test_two_people_who_walk_keep_their_tracks() -> None:
    tracker = Tracker()
    for nth in range(20):
        assert numbers(tracker, 200 * nth + 1, box(20 * nth), box(900 - 20 * nth, top=300)) == [0, 1]
    assert [(track.first_ms, track.last_ms) for track in tracker.end()] == [(1, 3801), (1, 3801)]
    assert tracker.end() == ()


def test_the_order_of_the_boxes_does_not_matter() -> None:
    tracker = Tracker()
    assert numbers(tracker, 1, box(0), box(300)) == [0, 1]
    assert numbers(tracker, 2, box(305), box(5)) == [1, 0]


def test_a_face_that_is_missed_for_a_moment_goes_on_and_one_that_is_gone_ends_once() -> None:
    tracker = Tracker()
    assert numbers(tracker, 1000, box(0)) == [0]
    assert tracker.update(1900, []).ended == ()
    assert numbers(tracker, 2000, box(3)) == [0]
    assert tracker.update(2000 + GAP_MS, []).ended == ()
    (ended,) = tracker.update(2001 + GAP_MS, []).ended
    assert (ended.number, ended.first_ms, ended.last_ms) == (0, 1000, 2000)
    assert tracker.update(2100 + GAP_MS, []).ended == ()


def test_a_face_within_the_gap_is_the_same_and_beyond_it_another() -> None:
    for gap_ms, expected in ((GAP_MS, [0]), (GAP_MS + 1, [1])):
        tracker = Tracker()
        tracker.update(1000, [box(0)])
        tracker.update(1000 + GAP_MS // 2, [])
        assert numbers(tracker, 1000 + gap_ms, box(0)) == expected


@pytest.mark.parametrize("later_ms", [GAP_MS + 1, 0, -200], ids=["far apart", "the same instant", "back in time"])
def test_frames_of_another_scene_are_not_linked(later_ms: int) -> None:
    tracker = Tracker()
    tracker.update(10_000, [box(0)])
    step = tracker.update(10_000 + later_ms, [box(0)])
    assert [track.number for track in step.ended] == [0]
    assert [track.number for track in step.seen] == [1]


def test_every_track_begins_and_ends_exactly_once_whatever_comes() -> None:
    rng = np.random.default_rng(3)
    tracker, at_ms = Tracker(), 0
    seen: set[int] = set()
    ended: list[int] = []
    for _ in range(500):
        at_ms += int(rng.choice([0, 100, 900, 2500, -50]))
        boxes = [box(int(left), int(top), int(side)) for left, top, side in rng.integers(1, 400, (rng.integers(6), 3))]
        step = tracker.update(at_ms, boxes)
        assert len(step.seen) == len({track.number for track in step.seen}) == len(boxes)
        assert [track.box for track in step.seen] == boxes
        seen |= {track.number for track in step.seen}
        ended += [track.number for track in step.ended]
    ended += [track.number for track in tracker.end()]
    assert sorted(ended) == sorted(seen) == list(range(len(seen)))
