"""The client of members: what it sends, and how it goes on from page to page."""

from __future__ import annotations

import json

import httpx
import pytest

from deploy.client.http import Problem
from deploy.client.members import MemberClient
from tests.deploy.client.faults import Handler, problem


def client_of(handler: Handler) -> MemberClient:
    return MemberClient("http://gateway.test", "key", transport=httpx.MockTransport(handler))


def test_members_are_read_page_by_page() -> None:
    pages = {"0": (["a", "b"], "17"), "17": ([], "4"), "4": (["c"], None)}

    def handler(request: httpx.Request) -> httpx.Response:
        names, cursor = pages[request.url.params["cursor"]]
        return httpx.Response(200, json={"members": [{"member_id": name} for name in names], "cursor": cursor})

    assert [one["member_id"] for one in client_of(handler).members()] == ["a", "b", "c"]


def test_a_profile_is_sent_whole_and_a_new_member_told_from_one_that_was_there() -> None:
    seen: list[tuple[str, str, object]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append((request.method, request.url.path, json.loads(request.content)))
        return httpx.Response(201 if len(seen) == 1 else 200, json={})

    client = client_of(handler)
    assert client.put_member("c-1", {"display_name": "Ada"})
    assert not client.put_member("c-1", {"display_name": "Ada", "tier": "gold"})
    assert seen[0] == ("PUT", "/v1/members/c-1", {"display_name": "Ada"})


def test_binding_and_unbinding_name_member_store_and_face() -> None:
    seen: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(f"{request.method} {request.url.raw_path.decode()}")
        return httpx.Response(200, json={"visible": True, "kind": "member"})

    client = client_of(handler)
    assert client.bind("c-1", "vienna", "ada")["kind"] == "member"
    client.unbind("c/1", "vienna", "ada")
    assert seen == ["PUT /v1/members/c-1/faces/vienna/ada", "DELETE /v1/members/c%2F1/faces/vienna/ada"]


def test_a_member_that_is_not_there_is_a_problem() -> None:
    client = client_of(lambda _: problem(404, "UNKNOWN_MEMBER", "member_id"))
    with pytest.raises(Problem) as raised:
        client.delete_member("c-1")
    assert raised.value.code == "UNKNOWN_MEMBER"
