"""Who counts as present: pure."""

from __future__ import annotations

import pytest

from common.intervals import Interval
from common.persons import Person
from common.types import Kind
from gateway.present import latest, together

WINDOW = 30
NOW = 1000


@pytest.mark.parametrize(
    ("intervals", "expected"),
    [
        ([(900, 970)], (900, 970)),  # just within the window
        ([(900, 969)], None),
        ([(100, 200), (960, 990)], (960, 990)),  # an earlier visit is over
        ([(900, 950), (970, 990)], (900, 990)),  # two pieces of one visit, as around midnight
        ([(1005, 1005)], (1005, 1005)),  # a camera's clock is ahead
    ],
)
def test_a_visit_goes_on_while_one_more_sighting_would_join_it(
    intervals: list[Interval], expected: Interval | None
) -> None:
    assert latest({"p": intervals}, NOW, WINDOW) == ({} if expected is None else {"p": expected})


def test_faces_of_one_member_are_one_person_and_who_came_last_is_first() -> None:
    found = {
        "A/1/a": Person("A", "a", Kind.MEMBER, "ada"),
        "B/1/b": Person("B", "b", Kind.MEMBER, "ada"),
        "A/1/c": Person("A", "c", Kind.VISITOR),
    }
    going_on = {"A/1/a": (10, 50), "B/1/b": (20, 40), "A/1/c": (15, 60)}
    here = together(going_on, found)
    assert [(one.person and one.person.face_id, one.since_ms, one.last_seen_ms) for one in here] == [
        ("c", 15, 60),
        ("a", 10, 50),
    ]


def test_erased_persons_are_present_without_a_face_and_keep_their_kind() -> None:
    here = together({"~m00": (1, 2), "~v01": (2, 3), "~s02": (3, 4), "A/1/gone": (4, 5)}, {})
    assert [(one.kind, one.person) for one in here] == [
        (Kind.VISITOR, None),
        (Kind.STAFF, None),
        (Kind.VISITOR, None),
        (Kind.MEMBER, None),
    ]
