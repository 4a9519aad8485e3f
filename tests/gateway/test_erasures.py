"""Erased for certain: receipts, and every way in which an erased face might come back."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import httpx
import numpy as np
import pytest

from common import keys
from common.cluster_map import ClusterMap
from common.errors import UnknownErasure
from common.ledger import Committed, Ledger, Put, StoredFace
from gateway.erasures import Erasure
from shard.replica import Replica
from tests.gateway.in_process import Cluster, Hung, cluster, unit

PATIENCE_S = 20


@pytest.fixture
async def pair(redis_url: str) -> AsyncIterator[Cluster]:
    """One store on a shard of two replicas."""
    async with cluster(redis_url, shards=1, replicas=2, shard_timeout_s=0.3) as running:
        await running.create("A")
        await running.enrol("A", unit(1), face_id="ada")
        yield running


async def erase(running: Cluster, face_id: str = "ada", store: str = "A", wait: str = "visible") -> dict[str, object]:
    response = await running.http.delete(f"/v1/stores/{store}/faces/{face_id}?wait={wait}")
    assert response.status_code == 200, response.text
    answer: dict[str, object] = response.json()
    return answer


async def look(running: Cluster, receipt: dict[str, object]) -> dict[str, object]:
    response = await running.http.get(f"/v1/erasures/{receipt['erasure_id']}")
    assert response.status_code == 200, response.text
    answer: dict[str, object] = response.json()
    return answer


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():
            await asyncio.sleep(0.01)


async def best(running: Cluster, probe: np.ndarray) -> str:
    response = await running.http.post("/v1/stores/A/search", json={"embeddings": probe.tolist()})
    return str(response.json()["results"][0]["verdict"])


async def test_an_erasure_that_every_replica_confirmed_is_complete_at_once(pair: Cluster) -> None:
    receipt = await erase(pair)
    assert (receipt["deleted"], receipt["visible"], receipt["complete"]) == (True, True, True)
    assert (receipt["confirmed"], receipt["pending"]) == (["s1/a", "s1/b"], [])
    assert await look(pair, receipt) == {
        name: receipt[name] for name in ("erasure_id", "store", "version", "complete", "confirmed", "pending")
    }


async def until_complete(running: Cluster, receipt: dict[str, object]) -> dict[str, object]:
    async with asyncio.timeout(PATIENCE_S):
        while not (answer := await look(running, receipt))["complete"]:
            await asyncio.sleep(0.01)
    return answer


async def test_a_replica_that_lags_is_pending_until_it_has_dropped_the_row(pair: Cluster) -> None:
    transport = pair.shards.apps["s1-b"]
    assert isinstance(transport, httpx.ASGITransport)
    lagging: Replica = transport.app.state.replica  # type: ignore[attr-defined]  # a FastAPI app
    async with lagging.gate.searching():  # its follower cannot write
        receipt = await erase(pair)
        assert (receipt["confirmed"], receipt["pending"], receipt["complete"]) == (["s1/a"], ["s1/b"], False)
        assert receipt["visible"] is False
        assert (await look(pair, receipt))["pending"] == ["s1/b"]
    assert (await until_complete(pair, receipt))["confirmed"] == ["s1/a", "s1/b"]


async def test_a_replica_that_answers_nobody_confirms_by_its_heartbeat(pair: Cluster) -> None:
    pair.shards.apps["s1-b"] = Hung()
    assert (await until_complete(pair, await erase(pair)))["confirmed"] == ["s1/a", "s1/b"]


async def test_committed_answers_at_once_and_the_heartbeats_complete_the_receipt(pair: Cluster) -> None:
    await until_complete(pair, await erase(pair, wait="committed"))


async def test_during_a_move_the_replicas_of_both_shards_have_to_confirm(redis_url: str) -> None:
    async with cluster(redis_url, shards=2) as running:
        await running.create("A", shard="s1")
        await running.enrol("A", unit(1), face_id="ada")
        stores = ClusterMap(running.services.ledger._redis)
        present = (await stores.stores())["A"]
        await stores.update(present, replace(present, moving_to="s2"))
        receipt = await erase(running)
        assert {*_names(receipt["confirmed"]), *_names(receipt["pending"])} == {"s1/a", "s2/a"}
        assert "s1/a" in _names(receipt["confirmed"])
        complete = await until_complete(running, receipt)
        assert "s2/a" in _names(complete["confirmed"])
        async with asyncio.timeout(10):  # a heartbeat tells what was a moment ago
            while any(rows_of_beats(running)):
                await asyncio.sleep(0.02)


def rows_of_beats(running: Cluster) -> list[int]:
    shards = running.services.view.shards.values()
    return [beat.stores["A"].rows for beats in shards for beat in beats if "A" in beat.stores]


def _names(listed: object) -> list[str]:
    assert isinstance(listed, list)
    return listed


async def test_the_erasure_of_a_store_that_was_deleted_meanwhile_is_complete(pair: Cluster) -> None:
    pair.shards.apps["s1-b"] = Hung()
    receipt = await erase(pair)
    assert (await pair.http.delete("/v1/stores/A")).status_code == 204
    assert (await look(pair, receipt))["complete"] is True
    await pair.create("A")
    assert (await look(pair, receipt))["complete"] is True


async def test_a_receipt_says_nothing_of_the_face(pair: Cluster) -> None:
    erasure_id = str((await erase(pair))["erasure_id"])
    assert b"ada" not in base64.urlsafe_b64decode(erasure_id + "==")


@pytest.mark.parametrize(
    "erasure_id",
    [
        "x",
        "%20",
        "ä",
        Erasure("A", "0" * 32, 0).id,
        Erasure("A", "0" * 32, -1).id,
        Erasure("../A", "0" * 32, 1).id,
        Erasure("A", "", 1).id,
        Erasure("A", "0" * 32, 1).id + "=",
        base64.urlsafe_b64encode(b"A:1:2:3").decode(),
    ],
)
async def test_an_id_that_was_never_given_out_is_unknown(pair: Cluster, erasure_id: str) -> None:
    response = await pair.http.get(f"/v1/erasures/{erasure_id}")
    assert (response.status_code, response.json()["code"]) == (404, "UNKNOWN_ERASURE")


async def test_a_version_that_the_store_never_had_is_unknown(pair: Cluster) -> None:
    """Also what is left of an erasure when Redis comes back from a backup that is older: the face is there again."""
    (store,) = pair.services.view.stores.values()
    response = await pair.http.get(f"/v1/erasures/{Erasure('A', store.incarnation, 99).id}")
    assert (response.status_code, response.json()["code"]) == (404, "UNKNOWN_ERASURE")


def test_ids_are_read_back() -> None:
    erasure = Erasure("vienna-1", "0af3", 12)
    assert Erasure.from_id(erasure.id) == erasure
    with pytest.raises(UnknownErasure):
        Erasure.from_id(erasure.id[:-1])


class Between:
    """Does something once, after a face was read and before it is committed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, act: Callable[[], Awaitable[object]]) -> None:
        self.commits = 0
        read, write = Ledger.face, Ledger.commit
        acted = False

        async def face(ledger: Ledger, store: str, face_id: str) -> StoredFace | None:
            nonlocal acted
            found = await read(ledger, store, face_id)
            if not acted:
                acted = True
                await act()
            return found

        async def commit(ledger: Ledger, store: str, incarnation: str, **what: object) -> Committed:
            self.commits += bool(what.get("puts"))
            return await write(ledger, store, incarnation, **what)  # type: ignore[arg-type]  # passed on as it came

        monkeypatch.setattr(Ledger, "face", face)
        monkeypatch.setattr(Ledger, "commit", commit)


async def add_template(running: Cluster, seed: int) -> tuple[int, str]:
    body = {"embeddings": unit(seed).tolist(), "face_id": "ada"}
    response = await running.http.post("/v1/stores/A/faces", json=body)
    return response.status_code, response.json().get("code", "")


async def test_a_template_added_while_the_face_is_erased_does_not_bring_it_back(
    pair: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    raced = Between(monkeypatch, lambda: erase(pair))
    assert await add_template(pair, 2) == (409, "FACE_CHANGED")
    assert raced.commits == 1
    assert (await pair.http.get("/v1/stores/A/faces/ada")).status_code == 404
    assert [await best(pair, unit(seed)) for seed in (1, 2)] == ["no_match", "no_match"]


async def test_nor_is_it_added_to_another_face_that_got_its_id(pair: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    async def erase_and_enrol() -> None:
        await erase(pair)
        await pair.enrol("A", unit(3), face_id="ada")

    Between(monkeypatch, erase_and_enrol)
    assert await add_template(pair, 2) == (409, "FACE_CHANGED")
    assert (await pair.http.get("/v1/stores/A/faces/ada")).json()["templates"] == 1


async def test_a_template_that_others_add_meanwhile_is_no_reason_to_fail(
    pair: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    raced = Between(monkeypatch, lambda: pair.enrol("A", unit(3), face_id="ada"))
    assert (await add_template(pair, 2))[0] == 200
    assert raced.commits == 3
    assert (await pair.http.get("/v1/stores/A/faces/ada")).json()["templates"] == 3


async def test_a_feed_that_is_read_again_does_not_bring_a_face_back(pair: Cluster) -> None:
    """Entries name a face; what it is now is read from the truth."""
    config = pair.services.view.stores["A"]
    face = await pair.services.ledger.face("A", "ada")
    assert face is not None
    await erase(pair)
    redis = pair.services.ledger._redis
    await redis.xadd(keys.feed("A"), {"f": "ada"}, id="3-0")  # as if the entry of its enrolment came once more
    late = Put("bob", face.raw, face.templates)
    version = (await pair.services.ledger.commit("A", config.incarnation, puts=[late])).version
    assert version == 4

    async def served() -> object:
        return (await pair.http.get("/v1/shards")).json()["shards"][0]["replicas"][0]["rows"] == 1

    await until(served)
    await until(lambda: _all_at(pair, 4))
    response = await pair.http.post("/v1/stores/A/search", json={"embeddings": unit(1).tolist()})
    assert [c["face_id"] for c in response.json()["results"][0]["candidates"]] == ["bob"]


async def _all_at(running: Cluster, version: int) -> bool:
    return all(beat.stores["A"].version == version for beat in running.services.view.shards["s1"])
