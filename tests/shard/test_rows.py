"""Rows against a plain dict of runs: each run keeps its rows wherever it moves, and what is nobody's is zero."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from common.types import Vectors
from shard.rows import NOBODY, Rows, Run, Slots
from tests.shard.helpers import unit

POOL = unit(60, dimension=4)
STORES = 5
STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "put", "fill", "leave"]), st.integers(0, STORES - 1), st.integers(0, 59)),
    max_size=60,
)


class Follower:
    """Where each slot's row was written first, by its number: what follows the slots must arrive at their rows."""

    def __init__(self) -> None:
        self.of_slot: dict[int, int] = {}
        self.written_now = 0

    def written(self, slots: Slots) -> None:
        for slot in slots.tolist():
            self.of_slot[slot] = self.written_now

    def moved(self, source: int, target: int, count: int) -> None:
        taken = {target + nth: self.of_slot.pop(source + nth) for nth in range(count)}
        self.of_slot |= taken

    def cleared(self, start: int, count: int) -> None:
        for slot in range(start, start + count):
            self.of_slot.pop(slot, None)


@settings(max_examples=60)
@given(STEPS)
def test_runs_keep_their_rows_and_the_rest_is_zero(steps: list[tuple[str, int, int]]) -> None:
    rows, model = Rows(4), [list[int]() for _ in range(STORES)]
    follower = Follower()
    rows.watchers.append(follower)
    runs = [rows.take(0) for _ in range(STORES)]
    for what, store, at in steps:
        run, held = runs[store], model[store]
        if what == "put":  # as many as `at`, from its end on and over some of its last
            numbers = [(at + nth) % 60 for nth in range(at)]
            first = max(0, len(held) - 3)
            for nth, number in enumerate(numbers):
                held[first + nth : first + nth + 1] = [number]
                follower.written_now = number
                rows.put(run, store, np.array([first + nth]), POOL[number : number + 1], number + 1)
        elif what == "fill" and held:
            position = at % len(held)
            rows.fill(run, position)
            held[position] = held[-1]
            held.pop()
        elif what == "leave":
            rows.give_back(run)
            runs[store], model[store] = rows.take(len(held)), []
        check(rows, runs, model, follower)


def check(rows: Rows, runs: list[Run], model: list[list[int]], follower: Follower) -> None:
    nobody = np.ones(len(rows.owners), dtype=bool)
    for store, (run, held) in enumerate(zip(runs, model, strict=True)):
        here = slice(run.start, run.stop)
        assert np.array_equal(rows.vectors[here], POOL[held])
        assert (rows.photos[here] == np.array(held, dtype=int) + 1).all()
        assert (rows.owners[here] == store).all()
        assert [follower.of_slot[slot] for slot in range(run.start, run.stop)] == held
        assert nobody[run.start : run.end].all(), "two runs overlap"
        nobody[run.start : run.end] = False
        assert not rows.vectors[run.stop : run.end].any()
        assert (rows.owners[run.stop : run.end] == NOBODY).all()
    assert not rows.vectors[nobody].any()
    assert (rows.owners[nobody] == NOBODY).all()
    assert rows.count == len(follower.of_slot) == sum(map(len, model))


def test_stores_that_grow_in_turn_leave_few_slots_unused() -> None:
    rows = Rows(4)
    filled: Vectors = np.tile(POOL[:1], (40, 1))
    runs = [rows.take(40) for _ in range(50)]
    for turn in range(30):
        for store, run in enumerate(runs):
            rows.put(run, store, np.arange(turn * 40, turn * 40 + 40), filled, 1)
    assert rows.count == 50 * 30 * 40
    assert len(rows.owners) <= 1.3 * rows.count


def test_what_stores_that_left_took_up_is_used_again() -> None:
    rows = Rows(4)
    for store in range(200):
        run = rows.take(100)
        rows.put(run, store, np.arange(100), np.tile(POOL[:1], (100, 1)), 1)
        if store % 2:
            rows.give_back(run)
    assert rows.end == 100 * 100
