"""The rule of visits, against a plain reckoning of the sightings."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from common.intervals import DAY_MS, Interval, merge, parse

WINDOW = 30
TIMES = st.lists(st.integers(0, 2000), min_size=1, max_size=60)


def by_hand(times: list[int], window: int) -> list[Interval]:
    visits: list[Interval] = []
    for at in sorted(set(times)):
        if visits and at - visits[-1][1] <= window:
            visits[-1] = (visits[-1][0], at)
        else:
            visits.append((at, at))
    return visits


@given(TIMES, st.randoms(use_true_random=False))
def test_any_order_and_repetition_of_sightings_gives_the_same_visits(times: list[int], rng: random.Random) -> None:
    visits: list[Interval] = []
    for at in rng.choices(times, k=2 * len(times)) + times:
        visits = merge([*visits, (at, at)], WINDOW)
    assert visits == by_hand(times, WINDOW)


@given(TIMES, TIMES)
def test_visits_of_two_halves_joined_are_the_visits_of_all(one: list[int], other: list[int]) -> None:
    assert merge(by_hand(one, WINDOW) + by_hand(other, WINDOW), WINDOW) == by_hand(one + other, WINDOW)


def test_a_gap_as_long_as_the_window_is_within_the_visit() -> None:
    assert merge([(0, 10), (40, 50)], 30) == [(0, 50)]
    assert merge([(0, 10), (41, 50)], 30) == [(0, 10), (41, 50)]


def test_what_redis_keeps_is_read_as_times() -> None:
    assert parse("0-5;86399999-86399999", DAY_MS) == [(DAY_MS, DAY_MS + 5), (2 * DAY_MS - 1, 2 * DAY_MS - 1)]
