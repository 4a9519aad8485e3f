"""Too late means that nothing was changed: a write that has begun is finished and told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from common.errors import DeadlineExceeded, TruthUnavailable
from common.ledger import Ledger
from gateway.deadline import Deadline
from tests.gateway.in_process import Cluster, Hung, cluster, unit


@pytest.fixture
async def chain(redis_url: str) -> AsyncIterator[Cluster]:
    """Store A on a shard that hangs."""
    async with cluster(redis_url, shards=1, deadline_s=0.3, shard_timeout_s=5) as running:
        await running.create("A")
        running.shards.apps["s1-a"] = Hung()
        yield running


async def test_a_block_that_is_done_in_time_is_left_alone_afterwards() -> None:
    async with Deadline(60) as limit:  # so long that no slow machine comes to its end
        assert 0 < limit.remaining_s() <= 60
    async with Deadline(0.01):
        pass
    await asyncio.sleep(0.03)


async def test_what_is_waived_in_time_goes_on() -> None:
    async with Deadline(0.01) as limit:
        limit.waive()
        await asyncio.sleep(0.03)
        assert limit.remaining_s() == 0


@pytest.mark.parametrize(("outer_s", "inner_s", "late"), [(0.01, 9, "outer"), (9, 0.01, "inner")])
async def test_of_one_within_another_the_one_that_is_over_is_told(outer_s: float, inner_s: float, late: str) -> None:
    told = []
    try:
        async with Deadline(outer_s):
            try:
                async with Deadline(inner_s):
                    await asyncio.Event().wait()
            except DeadlineExceeded:
                told.append("inner")
            await asyncio.sleep(0)  # it goes on as if nothing had been
    except DeadlineExceeded:
        told.append("outer")
    assert told == [late]
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_request_that_is_cancelled_as_its_time_runs_out_is_cancelled() -> None:
    async def request() -> None:
        async with Deadline(0.01):
            asyncio.get_running_loop().call_later(0.005, time.sleep, 0.01)  # both are due when the loop comes to them
            await asyncio.Event().wait()

    task = asyncio.create_task(request())
    asyncio.get_running_loop().call_later(0.01, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task


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
