"""Too late means that nothing was changed: a write that has begun is finished and told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from common.errors import TruthUnavailable
from common.ledger import Ledger
from tests.gateway.in_process import Cluster, Hung, cluster, unit


@pytest.fixture
async def chain(redis_url: str) -> AsyncIterator[Cluster]:
    """Store A on a shard that hangs."""
    async with cluster(redis_url, shards=1, deadline_s=0.3, shard_timeout_s=5) as running:
        await running.create("A")
        running.shards.apps["s1-a"] = Hung()
        yield running


async def test_an_enrolment_on_disk_is_acknowledged_though_the_deadline_passes_while_it_becomes_visible(
    chain: Cluster,
) -> None:
    answer = await chain.enrol("A", unit(1), face_id="ada")
    assert answer["visible"] is False
    gone = await chain.http.delete("/v1/stores/A/faces/ada")
    assert (gone.status_code, gone.json()["deleted"]) == (200, True)  # seen by all: its heartbeat may have said so


async def test_a_search_ends_at_its_deadline(chain: Cluster) -> None:
    response = await chain.http.post("/v1/stores/A/search", json={"embeddings": unit(1).tolist()})
    assert (response.status_code, response.json()["code"]) == (504, "DEADLINE_EXCEEDED")


@pytest.mark.parametrize(("method", "path"), [("PUT", "/v1/stores/B"), ("POST", "/v1/stores/A/faces")])
async def test_a_body_that_never_ends_is_not_waited_for(chain: Cluster, method: str, path: str) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    async with asyncio.timeout(5):
        response = await chain.http.request(method, path, content=body(), headers={"content-type": "application/json"})
    assert (response.status_code, response.json()["code"]) == (504, "DEADLINE_EXCEEDED")


async def test_an_enrolment_whose_answer_was_lost_can_be_repeated(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with cluster(redis_url, shards=1) as running:
        await running.create("A")
        commit = Ledger.commit

        async def lost(*what: object, **how: object) -> None:
            await commit(*what, **how)  # type: ignore[arg-type]  # handed on as they came
            raise TruthUnavailable("The connection broke.", outcome="unknown")

        body = {"embeddings": unit(1, 2).tolist()}
        with monkeypatch.context() as broken:
            broken.setattr(Ledger, "commit", lost)
            told = await running.http.post("/v1/stores/A/faces", json=body)
        assert (told.status_code, told.json()["outcome"]) == (503, "unknown")
        again = await running.http.post("/v1/stores/A/faces", json=body | {"face_id": told.json()["face_id"]})
        assert (again.status_code, again.json()["new"], again.json()["templates"]) == (200, False, 2)
        assert (await running.http.get("/v1/stores/A")).json()["faces"] == 1
