"""The gallery against a plain dict: whatever is put and dropped, its rows are the dict's and lie without gaps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.types import VISITOR, Kind, KnownAs, Vectors
from shard.gallery import Gallery, face_digest
from tests.shard.helpers import unit

ROWS = unit(40, dimension=8)
STEPS = st.lists(st.tuples(st.booleans(), st.lists(st.tuples(st.integers(0, 30), st.integers(0, 39)), max_size=8)))


@given(STEPS)
def test_puts_and_drops_leave_what_a_dict_would_hold(steps: list[tuple[bool, list[tuple[int, int]]]]) -> None:
    gallery, model = Gallery(8), dict[str, Vectors]()
    for adds, faces in steps:
        named = [(f"f{face}", ROWS[row]) for face, row in faces]
        if adds:
            gallery.put([face_id for face_id, _ in named], np.array([row for _, row in named]).reshape(-1, 8))
            model.update(named)
        else:
            gallery.drop([face_id for face_id, _ in named])
            for face_id, _ in named:
                model.pop(face_id, None)
    held = {gallery.face_id(at): gallery.rows[at].tolist() for at in range(len(gallery))}
    assert held == {face_id: row.tolist() for face_id, row in model.items()}
    assert gallery.rows.flags.c_contiguous


def test_the_digest_is_that_of_the_faces_and_rows_whatever_became_of_them_before() -> None:
    one, other = Gallery(8), Gallery(8)
    one.put(["a", "b", "c"], ROWS[:3])
    other.put(["c", "x", "a"], ROWS[[2, 5, 7]])
    other.put(["b", "a"], ROWS[[1, 0]])
    assert one.digest() != other.digest()
    other.drop(["x"])
    assert one.digest() == other.digest()
    other.put(["b"], ROWS[[2]])
    assert one.digest() != other.digest()
    assert Gallery(8).digest() == "0" * 32


def test_who_a_face_is_follows_its_last_put_and_goes_with_it() -> None:
    gallery = Gallery(8)
    gallery.put(["a", "b", "c"], ROWS[:3], {"a": (Kind.MEMBER, "c-1"), "c": (Kind.STAFF, None)})
    gallery.drop(["b"])  # c moves into its place
    gallery.put(["b"], ROWS[:1])
    assert [gallery.known_as(face) for face in "abc"] == [(Kind.MEMBER, "c-1"), VISITOR, (Kind.STAFF, None)]
    gallery.put(["a", "b"], ROWS[:2], {"b": (Kind.MEMBER, "c-2")})
    assert [gallery.known_as(face) for face in "ab"] == [VISITOR, (Kind.MEMBER, "c-2")]
    gallery.drop(["b", "c"])
    gallery.put(["b"], ROWS[1:2])
    assert gallery.known_as("b") == VISITOR


def test_galleries_that_disagree_about_who_a_face_is_have_different_digests() -> None:
    known: list[KnownAs] = [
        VISITOR,
        (Kind.MEMBER, None),
        (Kind.MEMBER, "c-1"),
        (Kind.MEMBER, "c-2"),
        (Kind.STAFF, None),
    ]
    gallery, digests = Gallery(8), []
    for one in known:
        gallery.put(["a"], ROWS[:1], {"a": one})
        digests.append(gallery.digest())
    assert len(set(digests)) == len(known)
    gallery.put(["a"], ROWS[:1])
    assert gallery.digest() == digests[0] == f"{face_digest('a', ROWS[0]):032x}"


def test_a_dropped_row_is_wiped_from_memory() -> None:
    gallery = Gallery(8)
    gallery.put(["x", "y", "z"], ROWS[:3])
    rows = gallery.rows
    gallery.drop(["x"])
    assert [gallery.face_id(at) for at in range(2)] == ["z", "y"]
    assert not rows[2].any()
    assert not (rows == ROWS[0]).all(axis=1).any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_not_finite_never_enters(value: float) -> None:
    gallery = Gallery(8)
    rows = ROWS[:2].copy()
    rows[1, 3] = value
    with pytest.raises(ValueError, match="finite"):
        gallery.put(["x", "y"], rows)
    assert len(gallery) == 0


def test_rows_of_another_length_or_number_never_enter() -> None:
    gallery = Gallery(8)
    for rows in (ROWS[:1, :4], ROWS[:2]):
        with pytest.raises(ValueError, match="rows of 8"):
            gallery.put(["x"], rows)
    assert len(gallery) == 0
