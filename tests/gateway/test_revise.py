"""PATCH of a face: kind and labels without photos, compared with what was read, and never against its member."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from common import keys
from common.types import Vectors
from tests.gateway.in_process import Cluster, cluster, unit


@pytest.fixture
async def chain(redis_url: str) -> AsyncIterator[Cluster]:
    async with cluster(redis_url, shards=1) as running:
        await running.create("A")
        await running.enrol("A", unit(1), face_id="ada", labels={"door": "north"})
        yield running


async def patch(chain: Cluster, body: object, status: int = 200, path: str = "A/faces/ada") -> dict[str, Any]:
    response = await chain.http.patch(f"/v1/stores/{path}", json=body)
    assert response.status_code == status, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def kind_found(chain: Cluster, row: Vectors) -> str:
    response = await chain.http.post("/v1/stores/A/search", json={"embeddings": row.tolist()})
    return str(response.json()["results"][0]["candidates"][0]["kind"])


@pytest.mark.parametrize(("kind", "standing"), [("staff", b"s"), ("member", b"m"), ("visitor", None)])
async def test_a_kind_is_changed_and_the_next_search_sees_it(
    chain: Cluster, redis: Redis, kind: str, standing: bytes | None
) -> None:
    done = await patch(chain, {"kind": kind})
    assert (done["kind"], done["labels"], done["visible"], done["version"]) == (kind, {"door": "north"}, True, 2)
    assert await kind_found(chain, unit(1)) == kind
    assert await redis.hget(keys.standings("A"), "ada") == standing


async def test_labels_are_replaced_and_the_kind_stays(chain: Cluster) -> None:
    await patch(chain, {"kind": "staff"})
    done = await patch(chain, {"labels": {"shift": "early"}})
    assert (done["kind"], done["labels"], done["templates"]) == ("staff", {"shift": "early"}, 1)
    assert (await patch(chain, {"labels": {}}))["labels"] == {}
    assert (await chain.http.get("/v1/stores/A/faces/ada")).json()["kind"] == "staff"


async def test_changes_at_the_same_time_are_all_kept(chain: Cluster) -> None:
    async def relabel(n: int) -> None:
        await patch(chain, {"labels": {"n": str(n)}})

    await asyncio.gather(
        patch(chain, {"kind": "staff"}),
        *(chain.enrol("A", unit(n), face_id="ada") for n in range(2, 6)),
        *(relabel(n) for n in range(4)),
    )
    face = (await chain.http.get("/v1/stores/A/faces/ada")).json()
    assert (face["kind"], face["templates"]) == ("staff", 5)
    assert face["labels"]["n"] in {"0", "1", "2", "3"}


async def test_a_bound_face_is_made_a_visitors_by_unbinding_alone(chain: Cluster) -> None:
    await chain.http.put("/v1/members/c-1", json={"display_name": "Ada"})
    await chain.http.put("/v1/members/c-1/faces/A/ada")
    problem = await patch(chain, {"kind": "visitor"}, status=409)
    assert (problem["code"], problem["field"]) == ("FACE_BOUND", "kind")
    assert "unbind" in problem["detail"]
    done = await patch(chain, {"kind": "staff", "labels": {}})
    assert (done["kind"], done["member_id"]) == ("staff", "c-1")
    assert (await patch(chain, {"kind": "member"}))["member_id"] == "c-1"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"kind": "king"}, "kind"),
        ({"labels": {"a b": "c"}}, "labels"),
        ({"labels": {"a": "x" * 257}}, "labels"),
        ({"labels": {f"k{n}": "" for n in range(17)}}, "labels"),
        ({"embeddings": []}, "embeddings"),
        ({"member_id": "c-1"}, "member_id"),
        ([], "body"),
    ],
)
async def test_a_change_that_is_none_is_refused(chain: Cluster, body: object, field: str) -> None:
    assert (await patch(chain, body, status=422))["field"] == field
    assert await chain.services.ledger.version("A") == 1


async def test_what_is_not_there_is_not_changed(chain: Cluster) -> None:
    assert (await patch(chain, {"kind": "staff"}, 404, "A/faces/bob"))["code"] == "UNKNOWN_FACE"
    assert (await patch(chain, {"kind": "staff"}, 404, "Z/faces/ada"))["code"] == "UNKNOWN_STORE"


async def test_a_body_that_is_no_json_is_refused(chain: Cluster) -> None:
    for media_type, status in (("text/plain", 415), ("application/json", 400)):
        response = await chain.http.patch(
            "/v1/stores/A/faces/ada", content=b"kind", headers={"content-type": media_type}
        )
        assert response.status_code == status


async def test_committed_does_not_wait_for_the_shard(chain: Cluster) -> None:
    chain.shards.apps.clear()
    response = await chain.http.patch("/v1/stores/A/faces/ada?wait=committed", json={"kind": "staff"})
    assert (response.status_code, response.json()["visible"]) == (200, False)
