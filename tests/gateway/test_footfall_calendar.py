"""Buckets of a local clock: days of 23, 24 and 25 hours, hours that come twice or never; and what a time may be."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import InvalidRequest
from common.intervals import DAY_MS
from gateway.footfall.calendar import (
    HOUR_MS,
    MAX_BUCKETS,
    MAX_DAYS,
    Bucket,
    Span,
    buckets,
    isoformat,
    moment,
    span_of,
    zone_of,
)
from tests.gateway.plain_footfall import LABELS, bounds

VIENNA, LORD_HOWE = ZoneInfo("Europe/Vienna"), ZoneInfo("Australia/Lord_Howe")
ZONES = [
    *("Europe/Vienna", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"),
    *("America/Santiago", "Pacific/Apia", "America/Havana", "Africa/Cairo", "America/Nuuk"),
]
NOW = int(datetime(2026, 11, 20, 14, 30, tzinfo=UTC).timestamp()) * 1000


def days(first: str, last: str, zone: ZoneInfo, size: Bucket = Bucket.DAY) -> list[float]:
    """Lengths in hours."""
    found = buckets(span_of(first, last, zone, NOW), size, zone)
    return [(span.end - span.start) / HOUR_MS for span in found]


def test_days_are_as_long_as_the_clock_makes_them() -> None:
    assert days("2026-03-28", "2026-03-31", VIENNA) == [24, 23, 24]
    assert days("2026-10-24", "2026-10-27", VIENNA) == [24, 25, 24]
    assert days("2026-04-04", "2026-04-06", LORD_HOWE) == [24, 24.5]
    assert days("2026-10-03", "2026-10-05", LORD_HOWE) == [24, 23.5]


def test_the_hour_that_comes_twice_is_two_buckets_and_the_one_left_out_is_none() -> None:
    autumn = buckets(span_of("2026-10-25", "2026-10-26", VIENNA, NOW), Bucket.HOUR, VIENNA)
    assert [isoformat(span.start, VIENNA)[11:] for span in autumn[1:5]] == [
        "01:00:00+02:00",
        "02:00:00+02:00",
        "02:00:00+01:00",
        "03:00:00+01:00",
    ]
    assert days("2026-10-25", "2026-10-26", VIENNA, Bucket.HOUR) == [1] * 25
    assert days("2026-03-29", "2026-03-30", VIENNA, Bucket.HOUR) == [1] * 23


def test_a_change_by_half_an_hour_leaves_a_bucket_of_half_an_hour() -> None:
    assert days("2026-04-05", "2026-04-06", LORD_HOWE, Bucket.HOUR)[:4] == [1, 1, 0.5, 1]


def test_a_change_in_the_middle_of_an_hour_ends_it() -> None:
    newfoundland = ZoneInfo("America/St_Johns")  # at 00:01, until 2011
    autumn = buckets(span_of("2010-11-06T22:00:00-02:30", "2010-11-08", newfoundland, NOW), Bucket.HOUR, newfoundland)
    assert [(isoformat(span.start, newfoundland)[11:16], (span.end - span.start) // 60_000) for span in autumn[:5]] == [
        ("22:00", 60),
        ("23:00", 60),
        ("00:00", 1),
        ("23:01", 59),
        ("00:00", 60),
    ]


def test_a_date_that_a_country_left_out_is_no_bucket() -> None:
    assert days("2011-12-29", "2012-01-01", ZoneInfo("Pacific/Apia")) == [24, 24]


def test_weeks_begin_on_monday_and_the_ends_are_cut_to_the_range() -> None:
    found = buckets(span_of("2026-11-20", "2026-12-02", VIENNA, NOW), Bucket.WEEK, VIENNA)
    assert [isoformat(span.start, VIENNA)[:10] for span in found] == ["2026-11-20", "2026-11-23", "2026-11-30"]
    assert days("2026-11-20", "2026-12-02", VIENNA, Bucket.WEEK) == [3 * 24, 7 * 24, 2 * 24]


def test_months_are_those_of_the_calendar() -> None:
    assert days("2026-01-15", "2026-04-01", VIENNA, Bucket.MONTH) == [17 * 24, 28 * 24, 31 * 24 - 1]


@settings(max_examples=150)
@given(
    zone=st.sampled_from(ZONES).map(ZoneInfo),
    start=st.integers(946_771_200, 2_050_000_000),
    length=st.integers(1, 45 * 86_400),
    size=st.sampled_from(Bucket),
)
def test_buckets_change_where_the_clock_on_the_wall_does(zone: ZoneInfo, start: int, length: int, size: Bucket) -> None:
    span = Span(1000 * start, 1000 * (start + length))
    found = buckets(span, size, zone)
    assert [tuple(one) for one in found] == bounds(*span, zone, LABELS[size])
    assert all(one.end == other.start for one, other in pairwise(found))
    assert (found[0].start, found[-1].end) == span


def test_left_out_is_today_so_far() -> None:
    span = span_of(None, None, VIENNA, NOW)
    assert (isoformat(span.start, VIENNA), span.end) == ("2026-11-20T00:00:00+01:00", NOW)
    whole_day = span_of(None, "2026-11-20", VIENNA, NOW)
    assert isoformat(whole_day.start, VIENNA) == "2026-11-19T00:00:00+01:00"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2026-11-20", "2026-11-20T00:00:00+01:00"),
        ("2026-11-20T09:00:00Z", "2026-11-20T10:00:00+01:00"),
        ("2026-11-20t09:00:00.25+05:45", "2026-11-20T04:15:00.250+01:00"),
    ],
)
def test_a_time_is_a_date_or_a_date_time_with_offset(text: str, meant: str) -> None:
    assert isoformat(moment("from", text, VIENNA), VIENNA) == meant


@pytest.mark.parametrize(
    "text",
    [
        *("", "today", "2026-02-30", "20261120", "2026-11-20T09:00:00", "2026-11-20T25:00:00Z", "2026-W01-1"),
        *("2026-11-20 09:00:00Z", "2026-11-20T09:00:00+99:00", "1999-12-31", "2100-01-02", "9999-12-31T23:59:59-12:00"),
        "２０２６-11-20",
    ],
)
def test_what_is_no_time_or_too_far_away_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        moment("to", text, VIENNA)
    assert refused.value.field == "to"
    assert refused.value.limit is not None


def test_an_empty_range_one_too_long_and_too_many_buckets_are_refused_with_the_limit() -> None:
    with pytest.raises(InvalidRequest) as empty:
        span_of("2026-11-20", "2026-11-20", VIENNA, NOW)
    assert (empty.value.field, empty.value.limit) == ("from", "2026-11-20T00:00:00+01:00")
    with pytest.raises(InvalidRequest) as long:
        span_of("2020-01-01", "2026-01-01", VIENNA, NOW)
    assert (long.value.field, long.value.limit) == ("from", MAX_DAYS)
    with pytest.raises(InvalidRequest) as many:
        buckets(Span(0, (MAX_BUCKETS + 1) * HOUR_MS), Bucket.HOUR, ZoneInfo("UTC"))
    assert (many.value.field, many.value.limit) == ("bucket", MAX_BUCKETS)
    assert len(buckets(Span(0, MAX_BUCKETS * HOUR_MS), Bucket.HOUR, ZoneInfo("UTC"))) == MAX_BUCKETS
    assert len(buckets(Span(0, MAX_DAYS * DAY_MS), Bucket.DAY, ZoneInfo("UTC"))) == MAX_DAYS


@pytest.mark.parametrize("name", ["", "Mars", "../../etc/passwd", "Europe", "Europe/Vienna\0"])
def test_a_time_zone_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        zone_of(name)
    assert refused.value.field == "timezone"
