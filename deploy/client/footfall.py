"""Reports of visits and visitors, as the gateway's client."""

from __future__ import annotations

from typing import TypedDict, cast

from deploy.client.http import Client


class DwellBody(TypedDict):
    average_s: float | None
    median_s: float | None


class OccupancyBody(TypedDict):
    average: float
    peak: int | None


class FiguresBody(TypedDict):
    start: str
    """RFC 3339, in the report's time zone, as `end`"""
    end: str
    pv: int
    uv: int
    new: int
    returning: int
    members: int
    dwell: DwellBody
    occupancy: OccupancyBody
    exact: bool


class ProvisionalBody(TypedDict):
    pending: int
    pv: list[int]
    """at least, at most"""
    uv: list[int]


class RowBody(TypedDict):
    total: FiguresBody
    buckets: list[FiguresBody]
    rejected: dict[str, int]
    provisional: ProvisionalBody


class StoreRow(RowBody):
    store: str


class OverlapBody(TypedDict):
    store: str
    other: str
    visitors: int
    error: int | None


class ReportBody(TypedDict):
    start: str
    end: str
    timezone: str
    bucket: str | None
    group: str | None
    exact: bool
    error: float | None
    stores: list[StoreRow]
    chain: RowBody | None
    overlap: list[OverlapBody] | None


class FootfallClient(Client):
    """`start` and `end` are dates or date-times and go as `from` and `to`; the end is not counted."""

    def footfall(self, *, start: str | None = None, end: str | None = None, **where: str | None) -> ReportBody:
        """`where`: store or group, bucket, timezone."""
        params = _given(where | {"from": start, "to": end})
        return cast("ReportBody", self._json("stores", "GET", "/v1/footfall", params=params))

    def footfall_csv(self, *, start: str | None = None, end: str | None = None, **where: str | None) -> str:
        """The same as CSV."""
        params = _given(where | {"from": start, "to": end}) | {"format": "csv"}
        return self._send("GET", "/v1/footfall", params=params).text


def _given(values: dict[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in values.items() if value is not None}
