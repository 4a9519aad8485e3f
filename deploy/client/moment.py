"""Times: whole milliseconds (Unix, UTC) inside, RFC 3339 outside."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def as_ms(moment: datetime) -> int:
    """Without an offset it is taken as the local time of this machine. Raises ValueError or OverflowError for years
    that a clock does not reach."""
    return (moment.astimezone(UTC) - EPOCH) // MILLISECOND


def as_text(at_ms: int) -> str:
    """`2026-11-20T08:00:00.250+00:00`; OverflowError for a year that RFC 3339 cannot say."""
    return (EPOCH + at_ms * MILLISECOND).isoformat(timespec="milliseconds")


def parse_ms(text: str) -> int:
    """Of an RFC 3339 time; without an offset, local time. Raises ValueError."""
    try:
        return as_ms(datetime.fromisoformat(text))
    except OverflowError as error:
        raise ValueError(str(error)) from error
