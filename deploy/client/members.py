"""Members, as the gateway's client: profiles, and binding faces to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, TypedDict, cast
from urllib.parse import quote

from common.limits import MAX_PAGE
from deploy.client.http import Client


class MemberBody(TypedDict):
    member_id: str
    display_name: str
    tier: str | None
    external_id: str | None
    attributes: dict[str, str]


class BoundFaceBody(TypedDict):
    store: str
    face_id: str
    kind: str
    templates: int


class RevisedBody(TypedDict):
    store: str
    face_id: str
    kind: str
    member_id: str | None
    visible: bool


class MemberClient(Client):
    def put_member(self, member_id: str, profile: Mapping[str, Any]) -> bool:
        """Create the member, or replace its profile; True if it is new."""
        return self._send("PUT", _member(member_id), json=dict(profile)).status_code == HTTPStatus.CREATED

    def member(self, member_id: str) -> MemberBody:
        return cast("MemberBody", self._json("member_id", "GET", _member(member_id)))

    def members(self) -> Iterator[MemberBody]:
        """All members, page by page; one may come twice."""
        cursor: str | None = "0"
        while cursor is not None:
            params = {"limit": str(MAX_PAGE), "cursor": cursor}
            page = self._json("cursor", "GET", "/v1/members", params=params)
            yield from cast("list[MemberBody]", page["members"])
            cursor = page["cursor"]

    def delete_member(self, member_id: str) -> None:
        self._send("DELETE", _member(member_id))

    def member_faces(self, member_id: str) -> list[BoundFaceBody]:
        return cast("list[BoundFaceBody]", self._json("faces", "GET", _member(member_id, "faces"))["faces"])

    def bind(self, member_id: str, store: str, face_id: str) -> RevisedBody:
        path = _member(member_id, "faces", store, face_id)
        return cast("RevisedBody", self._json("visible", "PUT", path))

    def unbind(self, member_id: str, store: str, face_id: str) -> RevisedBody:
        path = _member(member_id, "faces", store, face_id)
        return cast("RevisedBody", self._json("visible", "DELETE", path))


def _member(member_id: str, *parts: str) -> str:
    return "/".join(["/v1/members", *(quote(part, safe="") for part in (member_id, *parts))])
