"""An erasure that was cut short right after its commit is neither lost with its store, nor with its id, nor mistaken
for what the next face of that id has left."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from common import keys
from common.errors import TruthUnavailable
from common.visits import Visits
from gateway.rekeying import Rekeying
from tests.gateway.in_process import Cluster, cluster, unit
from tests.gateway.remains import naming
from tests.gateway.test_bulk import line, lines, send
from tests.gateway.test_closing import report
from tests.gateway.test_sight import sight, until_served

ADA = "ada-4711"
Enrol = Callable[[Cluster], Awaitable[httpx.Response]]


@pytest.fixture
async def chain(redis_url: str) -> AsyncIterator[Cluster]:
    """Ada of A, a member's face, was seen at B."""
    async with cluster(redis_url, shards=2) as running:
        for store, shard in (("A", "s1"), ("B", "s2")):
            await running.create(store, shard=shard)
        await until_served(running)
        await running.enrol("A", unit(1), face_id=ADA)
        await running.http.put("/v1/members/c-1", json={"display_name": "Ada"})
        assert (await running.http.put(f"/v1/members/c-1/faces/A/{ADA}")).status_code == 200
        (seen,) = await sight(running, "B", unit(1), 50)
        assert seen["face_id"] == ADA
        yield running


@contextlib.contextmanager
def visits_stay(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No job gets further than to the first visits that it has to move."""

    async def fail(*_: object) -> None:
        raise TruthUnavailable("Redis: away.", outcome="unknown")

    with monkeypatch.context() as failing:
        failing.setattr(Visits, "rekey", fail)
        yield


async def erase(chain: Cluster) -> None:
    assert (await chain.http.delete(f"/v1/stores/A/faces/{ADA}")).status_code == 200


async def alone(chain: Cluster) -> httpx.Response:
    body = {"face_id": ADA, "embeddings": unit(2).tolist()}
    return await chain.http.post("/v1/stores/A/faces", json=body)


async def in_bulk(chain: Cluster) -> httpx.Response:
    return await send(chain, lines(line(2, ADA), line(3, "bob")))


async def sweep(chain: Cluster) -> None:
    for _ in range(2):
        await Rekeying(chain.services.view, chain.services.rekeying._truths, 0.0).turn()


@pytest.mark.parametrize("force", [False, True])
async def test_a_store_is_deleted_after_what_its_erased_faces_left(
    chain: Cluster, redis: Redis, monkeypatch: pytest.MonkeyPatch, force: bool
) -> None:
    before = await report(chain, "B")
    with visits_stay(monkeypatch):
        await erase(chain)
    assert (await chain.http.delete(f"/v1/stores/A?force={force}")).status_code == 204
    assert await naming(redis, ADA.encode()) == set()
    assert await report(chain, "B") == before


async def test_a_store_whose_erasures_cannot_be_finished_now_is_not_deleted(
    chain: Cluster, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    with visits_stay(monkeypatch):
        await erase(chain)
        answer = await chain.http.delete("/v1/stores/A")
    assert (answer.status_code, answer.json()["code"]) == (503, "TRUTH_UNAVAILABLE")
    assert await redis.exists(keys.rekeys("A")) == 1
    assert (await chain.http.delete("/v1/stores/A")).status_code == 204
    assert await naming(redis, ADA.encode()) == set()


@pytest.mark.parametrize("enrol", [alone, in_bulk])
async def test_an_id_that_is_enrolled_and_erased_again_loses_no_erasure(
    chain: Cluster, redis: Redis, monkeypatch: pytest.MonkeyPatch, enrol: Enrol
) -> None:
    with visits_stay(monkeypatch):
        await erase(chain)
    assert (await enrol(chain)).status_code in {200, 201}
    await erase(chain)
    await sweep(chain)
    assert await naming(redis, ADA.encode()) == {keys.feed("A")}


@pytest.mark.parametrize("enrol", [alone, in_bulk])
async def test_who_is_enrolled_under_an_erased_ones_id_keeps_their_own_visits(
    chain: Cluster, monkeypatch: pytest.MonkeyPatch, enrol: Enrol
) -> None:
    with visits_stay(monkeypatch):
        await erase(chain)
    await enrol(chain)

    async def seen() -> tuple[Any, dict[str, Any]]:
        (face,) = await sight(chain, "A", unit(2), 5)
        return face["visit"]["started"], await report(chain, "A")

    first, figures = await seen()
    assert (first, figures["pv"]) == (True, 1)
    await chain.services.rekeying.turn()  # the leader's, within a minute
    assert await seen() == (False, figures)


@pytest.mark.parametrize("enrol", [alone, in_bulk])
async def test_an_id_whose_erasure_cannot_be_finished_now_is_not_given_again(
    chain: Cluster, monkeypatch: pytest.MonkeyPatch, enrol: Enrol
) -> None:
    with visits_stay(monkeypatch):
        await erase(chain)
        version = await chain.services.ledger.version("A")
        answer = await enrol(chain)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    problem = answer.json()
    assert (problem["code"], problem["face_ids"], problem["outcome"]) == ("ERASURE_UNFINISHED", [ADA], "unchanged")
    assert await chain.services.ledger.version("A") == version
    assert (await enrol(chain)).status_code in {200, 201}
    assert (await chain.http.get(f"/v1/stores/A/faces/{ADA}")).status_code == 200
