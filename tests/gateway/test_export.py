"""What is exported can be sent back: another store has the same faces then, to the bit."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from redis.asyncio import Redis

from common import keys
from common.ledger import Ledger
from common.records import unpack_vectors
from tests.gateway.in_process import Cluster, cluster, unit
from tests.gateway.test_bulk import digest, lines, send


@pytest.fixture
async def chain(redis_url: str) -> AsyncIterator[Cluster]:
    async with cluster(redis_url, shards=2) as running:
        await running.create("A")
        await running.create("B")
        yield running


async def export(chain: Cluster, store: str, limit: int = 1000) -> list[bytes]:
    """The pages."""
    pages, cursor = [], "0"
    while cursor:
        params: dict[str, str | int] = {"cursor": cursor, "limit": limit}
        response = await chain.http.get(f"/v1/stores/{store}/faces:export", params=params)
        assert response.status_code == 200, response.text
        pages.append(response.content)
        cursor = response.headers.get("facegrid-cursor", "")
    return pages


async def test_what_is_exported_makes_the_same_faces_elsewhere(chain: Cluster, redis: Redis) -> None:
    many = ({"face_id": f"f{n}", "embeddings": unit(n, 1 + n % 10).tolist(), "photos": 1 + n % 40} for n in range(300))
    await send(chain, lines(*many))
    await chain.enrol("A", unit(900), face_id="ada", kind="staff", labels={"door": "nörth"})
    pages = await export(chain, "A", limit=50)
    assert len(pages) > 2
    for page in pages:
        assert (await send(chain, page, store="B")).status_code == 200
    assert await digest(chain, "A") == await digest(chain, "B")
    names = [f"f{n}" for n in range(300)]
    ledger = Ledger(redis)
    for one, other in zip(await ledger.stored("A", names), await ledger.stored("B", names), strict=True):
        assert one is not None
        assert other is not None
        assert (one.templates, one.record.photos_behind) == (other.templates, other.record.photos_behind)
    assert sorted(b"".join(pages).splitlines())[0].startswith(b'{"face_id": "ada", "kind": "staff"')
    assert (await chain.http.get("/v1/stores/B/faces/ada")).json()["labels"] == {"door": "nörth"}


async def test_sending_an_export_back_to_its_own_store_changes_nothing(chain: Cluster) -> None:
    await send(chain, lines(*({"face_id": f"f{n}", "embeddings": unit(n, 3).tolist()} for n in range(50))))
    before = await digest(chain, "A")
    (page,) = await export(chain, "A")
    done = (await send(chain, page)).json()
    assert (done["created"], done["updated"], await digest(chain, "A")) == (0, 0, before)


async def test_a_template_from_before_that_is_not_quite_its_row_is_exported_as_it_is(
    chain: Cluster, redis: Redis
) -> None:
    """The row was made of it by a division, which may move the last bit."""
    await chain.enrol("A", unit(1), face_id="ada")
    kept = np.nextafter(unit(1), np.float32(2), dtype=np.float32)
    await redis.hset(keys.templates("A"), "ada", kept.tobytes())
    (page,) = await export(chain, "A")
    assert np.array(json.loads(page)["embeddings"], dtype=np.float32).tobytes() == kept.tobytes()
    assert (await send(chain, page)).json()["updated"] == 0


async def test_a_member_is_told_and_not_bound_by_sending_it_back(chain: Cluster) -> None:
    await chain.enrol("A", unit(1), face_id="ada")
    await chain.http.put("/v1/members/c-1", json={"display_name": "Ada"})
    await chain.http.put("/v1/members/c-1/faces/A/ada")
    (page,) = await export(chain, "A")
    told: dict[str, Any] = json.loads(page)
    assert (told["kind"], told["member_id"], told["photos"]) == ("member", "c-1", 1)
    await send(chain, page, store="B")
    face = (await chain.http.get("/v1/stores/B/faces/ada")).json()
    assert (face["kind"], face["member_id"]) == ("member", None)


async def test_a_face_that_a_migration_left_behind_is_not_exported(chain: Cluster, redis: Redis) -> None:
    await chain.enrol("A", unit(1), face_id="ada")
    await chain.enrol("A", unit(2), face_id="bob")
    ledger, store = Ledger(redis), chain.services.view.stores["A"]
    (bob,) = await ledger.stored("A", ["bob"])
    assert bob is not None
    empty = bob.record.__class__(bob.record.row, bob.record.space, bob.record.kind, 1.0, 1.0, 0)
    await redis.hset(keys.faces("A"), "bob", empty.pack())
    assert [json.loads(page)["face_id"] for page in await export(chain, "A")] == ["ada"]
    assert store.dimension == unpack_vectors(bob.templates, 128).shape[1]


async def test_an_empty_store_is_an_empty_page_and_an_unknown_one_a_problem(chain: Cluster) -> None:
    assert await export(chain, "A") == [b""]
    assert (await chain.http.get("/v1/stores/nowhere/faces:export")).status_code == 404
    assert (await chain.http.get("/v1/stores/A/faces:export?cursor=x")).status_code == 422
