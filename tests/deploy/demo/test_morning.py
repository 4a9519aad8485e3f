"""Who walks past which camera of the demo, and what a perfect count of it says."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest

from deploy.client.moment import as_ms
from deploy.client.photos import Person, Photo
from deploy.demo.cast import Cast
from deploy.demo.morning import CHAIN, LASTS, OPENS, ZONE, Count, Passing, counted, morning_of

DAY = date(2026, 11, 20)
STORES = ("graz", "linz", "vienna")
PHOTO = Photo("1.jpg", b"")


def cast_of(shoppers: int, strangers: int) -> Cast:
    known = tuple((Person(f"p{nth}", (PHOTO,)), (PHOTO,)) for nth in range(shoppers))
    return Cast(known, tuple((f"s{nth}", PHOTO) for nth in range(strangers)))


@pytest.mark.parametrize("people", [2, 12, 400])
def test_everybody_comes_and_goes_while_the_report_lasts(people: int) -> None:
    opens = datetime.combine(DAY, OPENS, ZoneInfo(ZONE))
    passings = morning_of(cast_of(people, people), STORES, DAY)
    assert as_ms(opens) <= passings[0].at_ms
    assert passings[-1].at_ms < as_ms(opens + LASTS)


def test_who_comes_back_is_two_visits_of_one_person_and_once_in_the_chain() -> None:
    seen = [("graz", 0), ("graz", 12), ("graz", 120), ("linz", 60)]
    passings = [Passing(60_000 * minute, store, "ada", PHOTO) for store, minute in seen]
    assert counted(passings) == {"graz": Count(2, 1), "linz": Count(1, 1), CHAIN: Count(3, 1)}
