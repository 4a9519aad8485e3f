"""Taking a store to another embedding space, as the gateway's client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypedDict, cast
from urllib.parse import quote

from common.limits import MAX_PAGE
from deploy.client.http import Client


class MissingBody(TypedDict):
    face_id: str
    kind: str
    member_id: str | None


class MigrationBody(TypedDict):
    store: str
    space: str
    to: str | None
    state: str
    flipped: bool
    done: int
    left: int
    sightings_waiting: int
    without_thumbnail_count: int
    without_thumbnail: list[MissingBody]
    cursor: str | None


class MigrationClient(Client):
    def migrate(self, store: str, to: str, *, leave_behind: bool) -> MigrationBody:
        """Go on with it, as far as one request can."""
        body = {"to": to, "leave_behind": leave_behind}
        return cast("MigrationBody", self._json("flipped", "POST", _path(store), json=body))

    def migration(self, store: str) -> MigrationBody:
        return cast("MigrationBody", self._json("flipped", "GET", _path(store), params={"limit": "1"}))

    def without_thumbnail(self, store: str) -> Iterator[MissingBody]:
        """All of them, page by page, each once."""
        seen: set[str] = set()
        cursor: str | None = "0"
        while cursor is not None:
            params = {"limit": str(MAX_PAGE), "cursor": cursor}
            page = cast("MigrationBody", self._json("flipped", "GET", _path(store), params=params))
            yield from (one for one in page["without_thumbnail"] if one["face_id"] not in seen)
            seen.update(one["face_id"] for one in page["without_thumbnail"])
            cursor = page["cursor"]


def _path(store: str) -> str:
    return f"/v1/stores/{quote(store, safe='')}/migration"
