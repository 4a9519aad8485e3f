"""The yardstick itself, on cases small enough to count by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from tests.footfall.encoder_limit import faces_of
from tests.footfall.report import CHAIN, TOTAL, expected, ms_of
from tests.footfall.traffic import D, Sighting, hour, photos_a_visit, separate_people, week
from tests.footfall.truth import Figures, Visit, figures, visits_of

MINUTE = 60_000
STORES = [f"s{nth}" for nth in range(10)]


def seen(person: str, store: str, minute: float) -> Sighting:
    return Sighting(person, store, int(minute * MINUTE), np.zeros((1, D), dtype=np.float32))


def test_a_gap_of_exactly_the_window_is_one_visit_and_a_millisecond_more_is_two() -> None:
    assert visits_of([seen("ada", "A", 0), seen("ada", "A", 30)]) == [Visit("ada", "A", 0, 30 * MINUTE)]
    longer = Sighting("ada", "A", 30 * MINUTE + 1, np.zeros((1, D), dtype=np.float32))
    assert len(visits_of([seen("ada", "A", 0), longer])) == 2


def test_repetition_order_and_a_bridge_between_two_do_not_matter() -> None:
    apart = [seen("ada", "A", 0), seen("ada", "A", 40)]
    bridged = [seen("ada", "A", 40), seen("ada", "A", 20), seen("ada", "A", 0), seen("ada", "A", 20)]
    assert len(visits_of(apart)) == 2
    assert visits_of(bridged) == [Visit("ada", "A", 0, 40 * MINUTE)]


def test_a_person_at_two_stores_is_two_visits_of_one_person() -> None:
    visits = visits_of([seen("ada", "A", 0), seen("ada", "B", 5), seen("bob", "A", 10), seen("bob", "A", 16)])
    assert figures(visits) == Figures(pv=3, uv=2, new=2, dwell_s=120.0)


def test_who_came_before_the_range_is_not_new_in_it() -> None:
    visits = visits_of([seen("ada", "A", 0), seen("ada", "A", 100), seen("bob", "A", 100)])
    assert figures(visits, lambda at_ms: at_ms > 0) == Figures(pv=2, uv=2, new=1, dwell_s=0.0)


def test_a_day_in_which_the_clocks_change_is_as_long_as_it_is() -> None:
    vienna = ZoneInfo("Europe/Vienna")
    long_day = ms_of(date(2026, 10, 26), vienna) - ms_of(date(2026, 10, 25), vienna)
    assert long_day == 25 * 60 * MINUTE
    late = Sighting("ada", "A", ms_of(date(2026, 10, 25), vienna) + long_day - 1, np.zeros((1, D), dtype=np.float32))
    report = expected([late], vienna, date(2026, 10, 25), days=2)
    assert list(report.stores[CHAIN]) == [ms_of(date(2026, 10, 25), vienna), TOTAL]


@pytest.mark.parametrize(("photos", "a_visit", "visits"), [(1, 1, 1), (2, 1, 2), (3, 1, 3), (5, 2, 2), (40, 3, 7)])
def test_who_has_more_photos_comes_more_often_but_once_a_day(photos: int, a_visit: int, visits: int) -> None:
    people = separate_people(1, photos, seed=3)
    traffic = week(
        people | {"staff": np.zeros((99, D), dtype=np.float32)}, ["A"], date(2026, 11, 9), ZoneInfo("UTC"), 1
    )
    assert photos_a_visit(photos) == a_visit
    days = {datetime.fromtimestamp(sighting.at_ms / 1000, UTC).date() for sighting in traffic.customers}
    assert (len(traffic.customers), len(days)) == (visits, visits)
    assert [one.person for one in traffic.staff] == ["staff"]


def test_the_yardstick_of_the_encoder_finds_well_separated_people_without_an_error() -> None:
    people = separate_people(60, photos=4, seed=2)
    traffic = week(people, STORES, date(2026, 11, 9), ZoneInfo("UTC"), seed=2)
    pairs = set(zip((one.person for one in traffic.customers), faces_of(traffic.customers, ()), strict=True))
    assert len(pairs) == len({one.person for one in traffic.customers}) == 60 - len(traffic.staff)


def test_an_hour_of_traffic_is_in_order_of_time_and_not_longer() -> None:
    start = datetime(2026, 11, 20, 10, tzinfo=UTC)
    traffic = hour(separate_people(50, photos=3, seed=1), STORES, start, seed=1)
    times = [sighting.at_ms for sighting in traffic.sightings]
    assert len(times) == 150
    assert times == sorted(times)
    assert times[-1] - times[0] < 60 * MINUTE
