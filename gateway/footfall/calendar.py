"""Hours, days, weeks and months of a place's own clock, as spans of absolute time. Pure.

A day lasts from one local midnight to the next, so 23, 24 or 25 hours (23.5 or 24.5 on Lord Howe Island). An hour never
crosses a change of the clocks: the hour that is repeated in autumn is two buckets, the one skipped in spring is none,
and a change by half an hour leaves a bucket of half an hour. Weeks are ISO weeks, from Monday.

Spans are half-open, [start, end), in integer milliseconds (Unix, UTC). Rejected: arithmetic with aware datetimes, which
Python does on the wall clock, where an hour can last two.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from common.errors import InvalidRequest
from common.intervals import DAY_MS

HOUR_MS = 3_600_000
EARLIEST, LATEST = date(2000, 1, 1), date(2100, 1, 1)
MAX_DAYS = 5 * 366
MAX_BUCKETS = 10_000

DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
DATE_TIME = re.compile(DATE.pattern + r"[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)
MOMENT_RULE = "a date (2026-11-20, its local midnight) or an RFC 3339 date-time with offset"


class Bucket(StrEnum):
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class Span(NamedTuple):
    """[start, end), ms."""

    start: int
    end: int

    def __contains__(self, at_ms: object) -> bool:
        return isinstance(at_ms, int) and self.start <= at_ms < self.end


MACHINE_ZONES = frozenset({"localtime", "posixrules", "Factory"})
"""files among the zones that depend on the machine, or mean none"""


def zone_of(name: str) -> ZoneInfo:
    """Raises InvalidRequest, field `timezone`, for what is no IANA name."""
    try:
        if name in MACHINE_ZONES:
            raise ValueError(name)
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidRequest(
            f"timezone must be an IANA name such as Europe/Vienna, not {name!r}.", field="timezone", limit="IANA"
        ) from error


def moment(field: str, text: str, zone: ZoneInfo) -> int:
    """The time in ms that a date or a date-time means. Raises InvalidRequest naming `field`."""
    try:
        if DATE.fullmatch(text):
            at_ms = midnight(date.fromisoformat(text), zone)
        elif DATE_TIME.fullmatch(text):
            at_ms = to_ms(datetime.fromisoformat(text.upper()))
        else:
            raise ValueError
    except (ValueError, OverflowError) as error:
        raise InvalidRequest(f"{field} must be {MOMENT_RULE}, not {text!r}.", field=field, limit="RFC 3339") from error
    if not midnight(EARLIEST, zone) <= at_ms <= midnight(LATEST, zone):
        limit = [EARLIEST.isoformat(), LATEST.isoformat()]
        raise InvalidRequest(f"{field} must be from {limit[0]} to {limit[1]}.", field=field, limit=limit)
    return at_ms


def span_of(first: str | None, last: str | None, zone: ZoneInfo, now_ms: int) -> Span:
    """From `first` until just before `last`. Left out: `last` is now, `first` the midnight before `last`.

    Raises InvalidRequest for a time that is none, an empty range, or more than five years.
    """
    end = now_ms if last is None else moment("to", last, zone)
    start = midnight(local(end - 1, zone).date(), zone) if first is None else moment("from", first, zone)
    if start >= end:
        raise InvalidRequest("from must be before to.", field="from", limit=isoformat(end, zone))
    if end - start > MAX_DAYS * DAY_MS:
        raise InvalidRequest(f"from and to may be at most {MAX_DAYS} days apart.", field="from", limit=MAX_DAYS)
    return Span(start, end)


def buckets(span: Span, size: Bucket, zone: ZoneInfo) -> list[Span]:
    """The buckets that `span` touches, in order and without gaps; the first and the last are cut to it.

    Raises InvalidRequest for more than 10,000.
    """
    bounds = [span.start]
    for bound in _BOUNDS[size](span.start, zone):
        if bound >= span.end:
            break
        if bound > bounds[-1]:
            bounds.append(bound)
        if len(bounds) > MAX_BUCKETS:
            raise InvalidRequest(f"At most {MAX_BUCKETS} buckets a report.", field="bucket", limit=MAX_BUCKETS)
    return [Span(*pair) for pair in pairwise([*bounds, span.end])]


def midnight(day: date, zone: ZoneInfo) -> int:
    """When the day begins; where the clocks skip its midnight, the moment at which they do."""
    return to_ms(datetime.combine(day, time(), zone))


def local(at_ms: int, zone: ZoneInfo) -> datetime:
    seconds, milliseconds = divmod(at_ms, 1000)
    return datetime.fromtimestamp(seconds, zone).replace(microsecond=1000 * milliseconds)


def to_ms(moment: datetime) -> int:
    """Of an aware datetime; what is finer is cut off."""
    return int(moment.replace(microsecond=0).timestamp()) * 1000 + moment.microsecond // 1000


def isoformat(at_ms: int, zone: ZoneInfo) -> str:
    """RFC 3339 with the zone's offset; milliseconds only where there are any."""
    return local(at_ms, zone).isoformat(timespec="milliseconds" if at_ms % 1000 else "seconds")


def _hours(start: int, zone: ZoneInfo) -> Iterator[int]:
    at = start
    while True:
        here = local(at, zone)
        following = at - at % 1000 + 1000 * (3600 - 60 * here.minute - here.second)
        at = _before_change(at, following, zone)
        yield at


def _before_change(start: int, end: int, zone: ZoneInfo) -> int:
    """The moment between the two at which the clocks change; `end` if they do not."""
    offset = local(start, zone).utcoffset()
    if local(end - 1, zone).utcoffset() == offset:
        return end
    while end - start > 1:
        middle = (start + end) // 2
        if local(middle, zone).utcoffset() == offset:
            start = middle
        else:
            end = middle
    return end


def _days(start: int, zone: ZoneInfo) -> Iterator[int]:
    return _every(1, local(start, zone).date(), zone)


def _weeks(start: int, zone: ZoneInfo) -> Iterator[int]:
    day = local(start, zone).date()
    return _every(7, day - timedelta(days=day.weekday()), zone)


def _every(days: int, first: date, zone: ZoneInfo) -> Iterator[int]:
    nth = 0
    while True:
        nth += days
        yield midnight(first + timedelta(days=nth), zone)


def _months(start: int, zone: ZoneInfo) -> Iterator[int]:
    day = local(start, zone).date().replace(day=1)
    while True:
        day = (day + timedelta(days=32)).replace(day=1)
        yield midnight(day, zone)


_BOUNDS: dict[Bucket, Callable[[int, ZoneInfo], Iterator[int]]] = {
    Bucket.HOUR: _hours,
    Bucket.DAY: _days,
    Bucket.WEEK: _weeks,
    Bucket.MONTH: _months,
}
