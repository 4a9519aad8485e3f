"""Two faces of one picture are two persons."""

from __future__ import annotations

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from gateway.assignment import assign

SCORES = st.dictionaries(st.sampled_from("abcd"), st.floats(0.9, 1.0), max_size=4)


def test_each_face_takes_its_best_person_where_nobody_is_wanted_twice() -> None:
    assert assign([{"ada": 0.97, "bob": 0.95}, {"eve": 0.96}, {}]) == ["ada", "eve", None]


def test_the_brother_with_more_right_to_the_name_gets_it() -> None:
    assert assign([{"ada": 0.95, "bob": 0.94}, {"ada": 0.97}]) == ["bob", "ada"]


def test_a_face_whose_only_person_is_anothers_is_nobody() -> None:
    assert assign([{"ada": 0.95}, {"ada": 0.97}]) == [None, "ada"]


@given(st.lists(SCORES, min_size=1, max_size=4))
def test_nobody_is_there_twice_and_no_other_assignment_is_better(options: list[dict[str, float]]) -> None:
    found = assign(options)
    named = [person for person in found if person is not None]
    assert len(set(named)) == len(named)
    assert all(person in faces for person, faces in zip(found, options, strict=True) if person is not None)
    slots = [*"abcd", *[None] * len(options)]
    most = max(_total(options, order) for order in permutations(slots, len(options)))
    assert abs(_total(options, tuple(found)) - most) < 1e-9


def _total(options: list[dict[str, float]], persons: tuple[str | None, ...]) -> float:
    """A face with a person counts more than any score, as being seen is worth more than being surer."""
    pairs = zip(options, persons, strict=True)
    return sum(2 + faces[person] for faces, person in pairs if person is not None and person in faces)
