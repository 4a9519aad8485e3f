"""Face ids against a plain list: position by position the same, whatever is placed and dropped."""

from __future__ import annotations

from uuid import uuid4

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shard.face_ids import FREE, FaceIds

NAMES = st.integers(0, 40).map(lambda at: f"f{at}" if at % 3 else f"f{at}" + "x" * at)
"""of several lengths, one of them the beginning of another"""
STEPS = st.lists(
    st.one_of(st.tuples(st.just("place"), st.lists(NAMES, max_size=12)), st.tuples(st.just("drop"), NAMES))
)


def place(model: list[str], names: list[str]) -> list[int]:
    for name in names:
        if name not in model:
            model.append(name)
    return [model.index(name) for name in names]


def drop(model: list[str], name: str) -> int:
    if name not in model:
        return FREE
    position, last = model.index(name), model.pop()
    if last != name:
        model[position] = last
    return position


@given(STEPS)
def test_ids_have_the_positions_that_a_list_would_give_them(steps: list[tuple[str, list[str] | str]]) -> None:
    ids, model = FaceIds(), list[str]()
    for _, what in steps:
        if isinstance(what, str):
            assert ids.drop(what) == drop(model, what)
        else:
            assert ids.place(what).tolist() == place(model, what)
        assert ids.every() == model
        assert len(ids) == len(model)
    assert ids.place(model).tolist() == list(range(len(model)))


def test_ids_whose_hashes_meet_are_told_apart_and_found_after_a_drop() -> None:
    """Five thousand ids in a table two thirds full: long chains of entries, that every drop shortens."""
    ids, names = FaceIds(), [uuid4().hex for _ in range(5000)]
    model = names.copy()
    ids.place(names)
    for name in names[::3]:
        assert ids.drop(name) == drop(model, name)
    assert ids.every() == model
    assert ids.place(model[::-1]).tolist() == list(range(len(model)))[::-1]


def test_a_thousand_ids_of_32_characters_take_at_most_45_bytes_each() -> None:
    ids = FaceIds()
    for _ in range(10):
        ids.place([uuid4().hex for _ in range(100)])
    ids.trim()
    assert ids.bytes_held <= 45 * 1000
    assert ids.at(np.array([5, 999])) == [ids[5], ids[999]]
