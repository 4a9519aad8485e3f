"""Home first, then everywhere; and never a claim about what was not looked at."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import pytest

from common.types import Vectors
from tests.gateway.in_process import Cluster, Hung, cluster, unit

ADA, BOB, STRANGER = unit(1), unit(2), unit(3)


@pytest.fixture
async def chain(redis_url: str) -> AsyncIterator[Cluster]:
    """Store A on s1 with Ada, B on s2 with Bob, C on s3, empty; F on s1 belongs to another group."""
    async with cluster(redis_url) as running:
        for store, shard in (("A", "s1"), ("B", "s2"), ("C", "s3")):
            await running.create(store, shard=shard)
        await running.create("F", shard="s1", group="foreign")
        await running.enrol("A", ADA, face_id="ada")
        await running.enrol("B", BOB, face_id="bob")
        await running.enrol("F", STRANGER, face_id="far-away")
        yield running


async def ask(chain: Cluster, store: str, probes: Vectors, **params: Any) -> list[dict[str, Any]]:
    response = await chain.http.post(f"/v1/stores/{store}/search", params=params, json={"embeddings": probes.tolist()})
    assert response.status_code == 200, response.text
    results: list[dict[str, Any]] = response.json()["results"]
    return results


async def test_a_member_at_home_is_found_without_asking_other_shards(chain: Cluster) -> None:
    asked = []

    def refuse(request: httpx.Request) -> httpx.Response:
        asked.append(request.url)
        return httpx.Response(500)

    chain.shards.faults |= {"s2-a": refuse, "s3-a": refuse}
    (result,) = await ask(chain, "A", ADA)
    assert (result["verdict"], result["route"]["mode"]) == ("match", "home")
    assert result["candidates"][0]["face_id"] == "ada"
    assert result["candidates"][0]["score"] == pytest.approx(1, abs=1e-5)
    assert asked == []


async def test_a_member_of_another_store_is_found_by_fan_out(chain: Cluster) -> None:
    (result,) = await ask(chain, "A", BOB)
    assert (result["verdict"], result["route"]["mode"]) == ("match", "fan_out")
    assert (result["candidates"][0]["store"], result["candidates"][0]["face_id"]) == ("B", "bob")
    assert result["coverage"]["stores"] == {"total": 3, "searched": 3, "missing": []}
    assert result["route"]["versions"] == {"A": 1, "B": 1, "C": 0}


async def test_a_stranger_is_no_match_and_other_groups_stay_unseen(chain: Cluster) -> None:
    (result,) = await ask(chain, "A", STRANGER)
    assert result["verdict"] == "no_match"
    assert {candidate["store"] for candidate in result["candidates"]} == {"A", "B"}


async def test_scope_store_never_leaves_home(chain: Cluster) -> None:
    (result,) = await ask(chain, "A", BOB, scope="store")
    assert (result["verdict"], result["route"]["mode"]) == ("no_match", "home")
    assert result["coverage"]["stores"]["total"] == 1


async def test_several_probes_take_each_its_own_route(chain: Cluster) -> None:
    results = await ask(chain, "A", np.concatenate([ADA, BOB, STRANGER]))
    assert [(r["verdict"], r["route"]["mode"]) for r in results] == [
        ("match", "home"),
        ("match", "fan_out"),
        ("no_match", "fan_out"),
    ]


async def test_the_fan_out_threshold_is_stricter_and_an_override_wins(chain: Cluster) -> None:
    (home,) = await ask(chain, "A", ADA)
    (everywhere,) = await ask(chain, "A", ADA, scope="group")
    assert home["threshold"] < everywhere["threshold"]
    (strict,) = await ask(chain, "A", ADA, threshold=1.0, scope="store")
    assert strict["threshold"] == 1.0
    (zero,) = await ask(chain, "A", -ADA, threshold=-1.0, scope="store")
    assert zero["verdict"] == "match"  # -1 is a threshold, not "none given"


async def test_the_stores_own_threshold_is_used_until_it_is_cleared(chain: Cluster) -> None:
    await chain.http.put("/v1/stores/A", json={"threshold": 0.5})
    assert (await ask(chain, "A", ADA))[0]["threshold"] == 0.5
    await chain.http.put("/v1/stores/A", json={"group": "default"})
    assert (await ask(chain, "A", ADA))[0]["threshold"] == 0.5
    await chain.http.put("/v1/stores/A", json={"threshold": None})
    assert (await ask(chain, "A", ADA))[0]["threshold"] == pytest.approx(0.9076, abs=1e-4)


async def test_a_stores_own_threshold_never_makes_a_fan_out_laxer(chain: Cluster) -> None:
    """Chosen for a small gallery, it would match every stranger among the rows of a whole chain."""
    await chain.http.put("/v1/stores/A", json={"threshold": -1.0})
    (home,) = await ask(chain, "A", STRANGER, scope="store")
    (everywhere,) = await ask(chain, "A", STRANGER, scope="group")
    assert (home["verdict"], everywhere["verdict"]) == ("match", "no_match")
    await chain.http.put("/v1/stores/A", json={"threshold": 0.999})
    (everywhere,) = await ask(chain, "A", STRANGER, scope="group")
    assert everywhere["threshold"] == 0.999


async def test_a_store_alone_in_its_group_has_nowhere_to_fan_out(chain: Cluster) -> None:
    (result,) = await ask(chain, "F", ADA)
    assert (result["verdict"], result["route"]["mode"]) == ("no_match", "home")
    del chain.shards.apps["s1-a"]
    response = await chain.http.post("/v1/stores/F/search", json={"embeddings": ADA.tolist()})
    assert (response.status_code, response.json()["code"]) == (503, "NOTHING_SEARCHED")


FAULTS = {
    "unreachable": (lambda _: (_ for _ in ()).throw(httpx.ConnectError("refused")), "SHARD_UNREACHABLE"),
    "error": (lambda _: httpx.Response(500), "SHARD_UNREACHABLE"),
    "refusal": (lambda _: httpx.Response(422, json={"code": "WRONG_SPACE"}), "SHARD_REJECTED"),
    "html": (lambda _: httpx.Response(200, html="<p>proxy</p>"), "SHARD_GARBAGE"),
    "garbage": (
        lambda _: httpx.Response(200, content=b"\xc1", headers={"content-type": "application/msgpack"}),
        "SHARD_GARBAGE",
    ),
    "wrong length": (
        lambda _: httpx.Response(200, content=b"\x90", headers={"content-type": "application/msgpack"}),
        "SHARD_GARBAGE",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_stranger_is_inconclusive_while_a_shard_fails(chain: Cluster, fault: str) -> None:
    chain.shards.faults["s2-a"], code = FAULTS[fault]
    (result,) = await ask(chain, "A", STRANGER)
    assert result["verdict"] == "inconclusive"
    assert result["coverage"]["stores"]["missing"] == ["B"]
    assert result["coverage"]["shards"]["failed"] == [
        {"shard": "s2", "code": code, "causes": [{"replica": "a", "code": code}]}
    ]
    (result,) = await ask(chain, "A", ADA)
    assert result["verdict"] == "match"


async def test_home_down_still_finds_members_of_other_stores(chain: Cluster) -> None:
    del chain.shards.apps["s1-a"]
    (result,) = await ask(chain, "A", BOB)
    assert result["verdict"] == "match"
    (result,) = await ask(chain, "A", ADA)
    assert result["verdict"] == "inconclusive"


async def test_nobody_answering_is_503_never_200(chain: Cluster) -> None:
    chain.shards.apps.clear()
    for scope in ("auto", "group", "store"):
        response = await chain.http.post(
            "/v1/stores/A/search", params={"scope": scope}, json={"embeddings": ADA.tolist()}
        )
        assert (response.status_code, response.json()["code"]) == (503, "NOTHING_SEARCHED")
        assert response.headers["retry-after"] == "1"


async def test_the_sibling_answers_when_a_replica_fails(redis_url: str) -> None:
    async with cluster(redis_url, shards=1, replicas=2) as running:
        await running.create("A")
        await running.enrol("A", ADA, face_id="ada")
        for down in ("s1-a", "s1-b"):
            running.shards.faults = {down: FAULTS["garbage"][0]}
            (result,) = await ask(running, "A", ADA)
            assert result["verdict"] == "match"


async def test_the_sibling_answers_when_a_replica_hangs(redis_url: str) -> None:
    async with cluster(redis_url, shards=1, replicas=2, shard_timeout_s=0.1) as running:
        await running.create("A")
        await running.enrol("A", ADA, face_id="ada")
        running.shards.apps["s1-a"] = Hung()
        (result,) = await ask(running, "A", ADA)
        assert result["verdict"] == "match"


async def test_a_store_created_again_never_shows_the_faces_of_the_one_before(chain: Cluster) -> None:
    """Not even while the shard has not noticed yet: a search asks for one creation of a store."""
    for _ in range(5):
        assert (await chain.http.delete("/v1/stores/B?force=true")).status_code == 204
        await chain.create("B", shard="s2")
        (result,) = await ask(chain, "A", BOB)
        assert "bob" not in {candidate["face_id"] for candidate in result["candidates"]}
        assert result["verdict"] in {"no_match", "inconclusive"}  # inconclusive until the shard serves the new one
        await chain.enrol("B", BOB, face_id="bob")
        assert (await ask(chain, "A", BOB))[0]["verdict"] == "match"
