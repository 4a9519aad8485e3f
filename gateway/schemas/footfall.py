"""What a report is asked for, and its answer, as JSON and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field

from common.rollups import HLL_ERROR
from gateway.footfall.calendar import MOMENT_RULE, Bucket, isoformat, local
from gateway.footfall.figures import Figures
from gateway.footfall.provisional import Provisional
from gateway.footfall.report import Report, Row, Shared
from gateway.schemas.base import with_example
from gateway.schemas.requests import MAX_TIMEZONE, Name

MAX_MOMENT = 40
CSV = "text/csv"
CHAIN = "*"
"""in the CSV: all stores of the group together; no store can have that name"""
COLUMNS = (
    "store",
    "start",
    "end",
    "pv",
    "uv",
    "new",
    "returning",
    "members",
    "dwell_average_s",
    "dwell_median_s",
    "occupancy_average",
    "occupancy_peak",
    "exact",
)


class Format(StrEnum):
    JSON = "json"
    CSV = "csv"


class FootfallOptions(BaseModel):
    """Query parameters of a report."""

    model_config = ConfigDict(extra="forbid")

    store: Name | None = Field(None, description="Report of one store; this or `group`.")
    group: Name | None = Field(None, description="Report of all stores of a group, and of them together.")
    first: str | None = Field(
        None,
        alias="from",
        max_length=MAX_MOMENT,
        description=f"Beginning: {MOMENT_RULE}. Left out: the midnight before `to`.",
    )
    last: str | None = Field(
        None,
        alias="to",
        max_length=MAX_MOMENT,
        description=f"End, itself not counted: {MOMENT_RULE}. Left out: now. At most five years after `from`.",
    )
    bucket: Bucket | None = Field(
        None, description="Figures by hour, day, ISO week or month of the time zone; left out: in total only."
    )
    timezone: str | None = Field(
        None,
        max_length=MAX_TIMEZONE,
        description="IANA name of the zone whose days these are. Left out: the stores' own, if they have just one.",
    )
    format: Format = Field(Format.JSON, description="csv: a row for each store and bucket; for a group also store `*`.")


class DwellAnswer(BaseModel):
    average_s: float | None
    """null where nobody came"""
    median_s: float | None
    """to the minute, rounded down, where it is not exact"""


class OccupancyAnswer(BaseModel):
    average: float
    """persons"""
    peak: int | None
    """null where it is not known: of a group on days whose visits are no longer kept"""


class FiguresAnswer(BaseModel):
    start: datetime
    end: datetime
    pv: int
    """visits that start in the bucket"""
    uv: int
    """different persons among them"""
    new: int
    """those never seen before: at this store; for a chain: at any of its stores"""
    returning: int
    members: int
    dwell: DwellAnswer
    """of the visits that start in the bucket, from first to last sighting"""
    occupancy: OccupancyAnswer
    """of everybody who was there in the bucket, from first to last sighting"""
    exact: bool
    """false: uv, returning and members are estimates, with the standard error that the report names"""

    @classmethod
    def of(cls, figures: Figures, zone: ZoneInfo) -> FiguresAnswer:
        return cls(
            start=local(figures.span.start, zone),
            end=local(figures.span.end, zone),
            pv=figures.pv,
            uv=figures.uv,
            new=figures.new,
            returning=figures.returning,
            members=figures.members,
            dwell=DwellAnswer(average_s=_rounded(figures.dwell_average_s), median_s=_rounded(figures.dwell_median_s)),
            occupancy=OccupancyAnswer(
                average=round(figures.occupancy_average, 4),
                peak=figures.occupancy_peak,
            ),
            exact=figures.exact,
        )


class ProvisionalAnswer(BaseModel):
    pending: int
    """sightings in the range that wait for shards; they are not in the figures yet"""
    pv: tuple[int, int]
    """bounds of the total once they are resolved"""
    uv: tuple[int, int]

    @classmethod
    def of(cls, found: Provisional) -> ProvisionalAnswer:
        return cls(pending=found.pending, pv=found.pv, uv=found.uv)


class ChainAnswer(BaseModel):
    total: FiguresAnswer
    buckets: list[FiguresAnswer]
    """empty without `bucket`; the first and the last are cut to the range"""
    rejected: dict[str, int]
    """faces too poor to be told apart, by reason, of the UTC hours that begin in the range"""
    provisional: ProvisionalAnswer


class StoreFootfall(ChainAnswer):
    store: str


class OverlapAnswer(BaseModel):
    store: str
    other: str
    visitors: int
    """persons who were at both"""
    error: int | None
    """standard error, where it is an estimate"""

    @classmethod
    def of(cls, shared: Shared) -> OverlapAnswer:
        return cls(store=shared.store, other=shared.other, visitors=shared.visitors, error=shared.error)


_FIGURES: dict[str, Any] = {
    "start": "2026-11-20T00:00:00+01:00",
    "end": "2026-11-21T00:00:00+01:00",
    "pv": 412,
    "uv": 371,
    "new": 158,
    "returning": 213,
    "members": 64,
    "dwell": {"average_s": 1104.25, "median_s": 871.0},
    "occupancy": {"average": 5.2662, "peak": 31},
    "exact": True,
}
_ROW: dict[str, Any] = {
    "total": _FIGURES,
    "buckets": [_FIGURES],
    "rejected": {"BLURRED": 12},
    "provisional": {"pending": 0, "pv": [412, 412], "uv": [371, 371]},
}
CSV_EXAMPLE = (
    ",".join(COLUMNS) + "\r\nvienna-1,2026-11-20T00:00:00+01:00,2026-11-21T00:00:00+01:00,"
    "412,371,158,213,64,1104.25,871.0,5.2662,31,true\r\n"
)


class FootfallAnswer(BaseModel):
    model_config = with_example(
        {
            "start": "2026-11-20T00:00:00+01:00",
            "end": "2026-11-21T00:00:00+01:00",
            "timezone": "Europe/Vienna",
            "bucket": "day",
            "group": "austria",
            "exact": False,
            "error": 0.0081,
            "stores": [{"store": "vienna-1"} | _ROW],
            "chain": _ROW,
            "overlap": [{"store": "graz-1", "other": "vienna-1", "visitors": 7, "error": 4}],
        }
    )
    start: datetime
    end: datetime
    timezone: str
    bucket: Bucket | None
    group: str | None
    exact: bool
    """false: days are in it whose visits are no longer kept"""
    error: float | None
    """relative standard error of uv, returning and members where they are estimates"""
    stores: list[StoreFootfall]
    chain: ChainAnswer | None
    """all stores of the group together: who came to five of them counts once in uv; null in a store's report"""
    overlap: list[OverlapAnswer] | None
    """pairs of stores that share visitors; null in a store's report, and where there are too many to estimate"""

    @classmethod
    def of(cls, report: Report) -> FootfallAnswer:
        zone = report.zone
        return cls(
            start=local(report.span.start, zone),
            end=local(report.span.end, zone),
            timezone=zone.key,
            bucket=report.bucket,
            group=report.group,
            exact=report.exact,
            error=None if report.exact else HLL_ERROR,
            stores=[StoreFootfall(store=str(row.store), **_row(row, zone)) for row in report.stores],
            chain=None if report.chain is None else ChainAnswer(**_row(report.chain, zone)),
            overlap=None if report.overlap is None else [OverlapAnswer.of(shared) for shared in report.overlap],
        )


def _row(row: Row, zone: ZoneInfo) -> dict[str, Any]:
    return {
        "total": FiguresAnswer.of(row.total, zone),
        "buckets": [FiguresAnswer.of(figures, zone) for figures in row.buckets],
        "rejected": row.rejected,
        "provisional": ProvisionalAnswer.of(row.provisional),
    }


def as_csv(report: Report) -> str:
    """RFC 4180, with a header: a row for each store and bucket (without buckets: for each store), then those of the
    chain. What is not known is empty."""
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow(COLUMNS)
    for row in [*report.stores, *([] if report.chain is None else [report.chain])]:
        writer.writerows(_cells(row, report.zone))
    return written.getvalue()


def _cells(row: Row, zone: ZoneInfo) -> Iterator[list[Any]]:
    for figures in row.buckets or [row.total]:
        yield [
            CHAIN if row.store is None else row.store,
            isoformat(figures.span.start, zone),
            isoformat(figures.span.end, zone),
            *(figures.pv, figures.uv, figures.new, figures.returning, figures.members),
            *(_rounded(figures.dwell_average_s), _rounded(figures.dwell_median_s)),
            *(round(figures.occupancy_average, 4), figures.occupancy_peak),
            "true" if figures.exact else "false",
        ]


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
