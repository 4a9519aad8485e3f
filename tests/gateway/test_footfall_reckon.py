"""Figures from visits, against the plainest reckoning, over thousands of random days and changes of the clocks."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.intervals import DAY_MS, Interval, merge
from gateway.footfall.calendar import Bucket, Span, buckets
from gateway.footfall.figures import Figures, exactly
from gateway.footfall.provisional import Waiting, provisional
from gateway.footfall.reckon import People, Table, numbered, overlap, reckon
from tests.gateway.plain_footfall import LABELS, Plain, Sightings, bounds, plain

WINDOW_MS = 30 * 60_000
DAYS, RUNS = 24, 150
"""of each run, and runs: 3,600 random days"""
ZONES = ["Europe/Vienna", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


def changes(zone: ZoneInfo) -> list[int]:
    """Days (since 1970) on which the clocks are changed, 2015 to 2035."""
    noons = [datetime(2015, 1, 1, 12, tzinfo=UTC) + timedelta(days=nth) for nth in range(20 * 365)]
    offsets = [noon.astimezone(zone).utcoffset() for noon in noons]
    return [
        int(noon.timestamp() * 1000 // DAY_MS)
        for noon, before, now in zip(noons[1:], offsets, offsets[1:], strict=False)
        if before != now
    ]


CHANGES = {name: changes(ZoneInfo(name)) for name in ZONES}


@st.composite
def ranges(draw: st.DrawFn) -> tuple[ZoneInfo, Span]:
    """A few weeks of a zone, most of them with a change of the clocks, beginning anywhere in a day."""
    name = draw(st.sampled_from(ZONES))
    days = st.integers(16_436, 23_700)
    if CHANGES[name]:
        near = st.builds(lambda day, before: day - before, st.sampled_from(CHANGES[name]), st.integers(0, DAYS - 1))
        days = near | near | days
    start = draw(days) * DAY_MS + draw(st.integers(0, DAY_MS - 1))
    return ZoneInfo(name), Span(start, start + DAYS * DAY_MS)


@st.composite
def histories(draw: st.DrawFn, span: Span) -> Sightings:
    """Some people, seen in bursts; also before and after the span, and over its ends."""
    moments = st.integers(span.start - 2 * DAY_MS, span.end + 2 * DAY_MS)
    edges = st.sampled_from(span).flatmap(lambda at: st.integers(at - 2 * WINDOW_MS, at + 2 * WINDOW_MS))
    gaps = st.lists(st.integers(0, WINDOW_MS * 5 // 4) | st.just(WINDOW_MS), max_size=6)
    bursts = st.lists(st.tuples(moments | edges, gaps), min_size=1, max_size=6)
    people: dict[str, list[int]] = {}
    for number, made in enumerate(draw(st.lists(bursts, max_size=8))):
        people[f"p{number}"] = [at + sum(gaps[:nth]) for at, gaps in made for nth in range(len(gaps) + 1)]
    return people


def recorded(times: list[int], dice: random.Random) -> list[Interval]:
    """As visits are kept: each sighting, in any order and some of them again, joined within its UTC date."""
    dates: defaultdict[int, list[Interval]] = defaultdict(list)
    arriving = [*times, *dice.choices(times, k=len(times) // 2)]
    dice.shuffle(arriving)
    for at in arriving:
        dates[at // DAY_MS] = merge([*dates[at // DAY_MS], (at, at)], WINDOW_MS)
    return [piece for pieces in dates.values() for piece in pieces]


def reckoned(sightings: Sightings, spans: list[Span], members: frozenset[str], dice: random.Random) -> list[Figures]:
    visits = {person: merge(recorded(list(times), dice), WINDOW_MS) for person, times in sightings.items()}
    numbers = numbered([visits])
    people = People.of(numbers, {person: min(times) for person, times in sightings.items()}, members)
    tallies = reckon(Table.of(visits, numbers, spans[0].start), people, spans)
    return [exactly(span, tally) for span, tally in zip(spans, tallies, strict=True)]


def as_plain(figures: Figures) -> Plain:
    return Plain(
        *figures.span,
        figures.pv,
        figures.uv,
        figures.new,
        figures.members,
        figures.dwell_average_s,
        figures.dwell_median_s,
        figures.occupancy_average,
        figures.occupancy_peak or 0,
    )


def close(one: Plain, other: Plain) -> bool:
    """Equal but for the rounding of the two means."""
    return all(
        mine == theirs or (isinstance(mine, float) and isinstance(theirs, float) and abs(mine - theirs) < 1e-6)
        for mine, theirs in zip(_fields(one), _fields(other), strict=True)
    )


def _fields(plain: Plain) -> list[float | None]:
    return [getattr(plain, name) for name in Plain.__slots__]


@settings(max_examples=RUNS, suppress_health_check=SLOW)
@given(data=st.data(), where=ranges(), size=st.sampled_from(Bucket), seed=st.integers(0, 2**32))
def test_any_order_and_repetition_gives_what_plain_counting_gives(
    data: st.DataObject, where: tuple[ZoneInfo, Span], size: Bucket, seed: int
) -> None:
    zone, span = where
    sightings = data.draw(histories(span))
    members = frozenset(data.draw(st.sets(st.sampled_from(sorted(sightings))))) if sightings else frozenset[str]()
    for spans in ([span], buckets(span, size, zone)):
        found = reckoned(sightings, spans, members, random.Random(seed))
        edges = [tuple(span)] if len(spans) == 1 else bounds(*span, zone, LABELS[size])
        wanted = [plain(sightings, WINDOW_MS, (start, end), members) for start, end in edges]
        for mine, theirs in zip(map(as_plain, found), wanted, strict=True):
            assert close(mine, theirs), (mine, theirs)


@settings(max_examples=200, suppress_health_check=SLOW)
@given(data=st.data(), seed=st.integers(0, 2**32))
def test_whoever_the_waiting_sightings_turn_out_to_be_the_figures_stay_within_the_bounds(
    data: st.DataObject, seed: int
) -> None:
    span = Span(20_000 * DAY_MS, 20_001 * DAY_MS)
    dice = random.Random(seed)
    sightings = data.draw(histories(span))
    (before,) = reckoned(sightings, [span], frozenset(), dice)
    later = {person: list(times) for person, times in sightings.items()}
    waiting = []
    for _ in range(data.draw(st.integers(0, 6))):
        near = [*span, *(at for times in later.values() for at in times)]
        at = data.draw(st.sampled_from(near)) + data.draw(st.integers(-2 * WINDOW_MS, 2 * WINDOW_MS))
        waiting.append(at)
        later.setdefault(data.draw(st.sampled_from([*later, "somebody new"])), []).append(at)
    (after,) = reckoned(later, [span], frozenset(), dice)
    bounded = provisional(before, [Waiting(waiting, WINDOW_MS)])
    assert bounded.pending == sum(span.start <= at < span.end for at in waiting)
    assert bounded.pv[0] <= after.pv <= bounded.pv[1]
    assert bounded.uv[0] <= after.uv <= bounded.uv[1]


@pytest.mark.parametrize(
    ("seen", "waiting", "after"),
    [
        ([10], -10, (0, 0)),  # the visit began before the range
        ([-20, 30], 5, (0, 0)),  # it is the same as the one before
        ([10, 60], 35, (1, 1)),
        ([10, 100], 55, (3, 1)),
        ([1450], 1439, (1, 1)),  # the visit began within the range
        ([], 5, (1, 1)),
    ],
)
def test_what_one_waiting_sighting_can_do_is_within_the_bounds(
    seen: list[int], waiting: int, after: tuple[int, int]
) -> None:
    span = Span(20_000 * DAY_MS, 20_001 * DAY_MS)
    times = [span.start + minute * 60_000 for minute in seen]
    late = span.start + waiting * 60_000
    (before,) = reckoned({"ada": times} if times else {}, [span], frozenset(), random.Random(1))
    (found,) = reckoned({"ada": [*times, late]}, [span], frozenset(), random.Random(1))
    bounded = provisional(before, [Waiting([late], WINDOW_MS)])
    assert (found.pv, found.uv) == after
    assert bounded.pv[0] <= found.pv <= bounded.pv[1]
    assert bounded.uv[0] <= found.uv <= bounded.uv[1]


def test_nothing_waiting_leaves_no_doubt() -> None:
    (figures,) = reckoned({"ada": [10]}, [Span(0, 100)], frozenset(), random.Random(1))
    assert provisional(figures, [Waiting([], WINDOW_MS)]).pv == (1, 1)


def test_a_bucket_in_which_nobody_came_says_so() -> None:
    (figures,) = reckoned({}, [Span(0, 100)], frozenset(), random.Random(1))
    assert (figures.pv, figures.uv, figures.dwell_average_s, figures.dwell_median_s) == (0, 0, None, None)
    assert (figures.occupancy_average, figures.occupancy_peak) == (0, 0)


def test_stores_that_share_visitors_are_listed_once_a_pair() -> None:
    came = {"B": {"ada", "bob", "eve"}, "A": {"ada", "bob"}, "C": {"eve"}, "D": {"zoe"}}
    assert overlap(came) == {("A", "B"): 2, ("B", "C"): 1}
