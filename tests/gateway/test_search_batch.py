"""Many probes of many stores in one request: each is answered as by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import pytest

from common import wire
from common.limits import MAX_BATCH
from common.types import Vectors
from gateway.deadline import Deadline
from gateway.identify import Asking
from gateway.verdict import Asked
from tests.gateway.in_process import Cluster, cluster, unit

ADA, BOB, EVE, STRANGER = unit(1), unit(2), unit(3), unit(4)
RAW = {"content-type": "application/octet-stream"}


@pytest.fixture
async def chain(redis_url: str) -> AsyncIterator[Cluster]:
    """A, B and C on a shard each with Ada, Bob and nobody; F of another group, with Eve."""
    async with cluster(redis_url) as running:
        for store, shard in (("A", "s1"), ("B", "s2"), ("C", "s3")):
            await running.create(store, shard=shard)
        await running.create("F", shard="s1", group="foreign")
        for store, face_id, row in (("A", "ada", ADA), ("B", "bob", BOB), ("F", "eve", EVE)):
            await running.enrol(store, row, face_id=face_id)
        yield running


async def raw(chain: Cluster, stores: str, probes: Vectors, **params: Any) -> httpx.Response:
    return await chain.http.post(
        "/v1/search:batch", params={"stores": stores, **params}, content=probes.tobytes(), headers=RAW
    )


def told(result: dict[str, Any]) -> tuple[str, str, str | None]:
    candidates = result["candidates"]
    return result["verdict"], result["mode"], candidates[0]["face_id"] if candidates else None


async def test_each_probe_is_searched_at_its_own_home_first(chain: Cluster) -> None:
    probes = np.concatenate([ADA, ADA, BOB, STRANGER, EVE, EVE])
    answer = (await raw(chain, "A,B,B,C,C,F", probes)).json()
    assert [result["store"] for result in answer["results"]] == ["A", "B", "B", "C", "C", "F"]
    assert [told(result) for result in answer["results"][:3]] == [
        ("match", "home", "ada"),
        ("match", "fan_out", "ada"),
        ("match", "home", "bob"),
    ]
    assert [result["verdict"] for result in answer["results"][3:]] == ["no_match", "no_match", "match"]
    assert answer["results"][5]["mode"] == "home"


async def test_a_batch_says_of_every_probe_what_a_search_of_its_own_says(chain: Cluster) -> None:
    stores, probes = "ABCFABCF", np.concatenate([ADA, BOB, EVE, EVE, STRANGER, ADA, ADA, BOB])
    for params in ({}, {"scope": "store"}, {"scope": "group"}, {"top_k": 1}, {"threshold": 0.999}, {"exact": True}):
        answer = (await raw(chain, ",".join(stores), probes, **params)).json()
        for store, probe, result in zip(stores, probes, answer["results"], strict=True):
            alone = await chain.http.post(
                f"/v1/stores/{store}/search", params=params, content=probe.tobytes(), headers=RAW
            )
            (one,) = alone.json()["results"]
            for name in ("verdict", "candidates", "member", "threshold", "threshold_measured"):
                assert result[name] == one[name], (params, store, name)
            assert result["mode"] == one["route"]["mode"]
            assert result["version"] == one["route"]["versions"][store]
            assert answer["coverages"][result["coverage"]] == one["coverage"]


async def test_what_other_stores_of_a_batch_want_to_know_changes_no_answer(chain: Cluster) -> None:
    """B's margin needs more candidates than A does; the best of those by threshold may be none of A's five."""
    await chain.http.put("/v1/stores/B", json={"margin": 0.01})
    for seed in range(6):
        far = ADA + (0.01 if seed else 0.02) * unit(100 + seed)
        await chain.enrol("C", far.repeat(3 if seed else 1, axis=0), face_id=f"c-{seed}")
    probes = np.concatenate([ADA, ADA])
    alone = (await chain.http.post("/v1/stores/A/search?scope=group", content=ADA.tobytes(), headers=RAW)).json()
    answer = (await raw(chain, "A,B", probes, scope="group")).json()
    assert answer["results"][0]["candidates"] == alone["results"][0]["candidates"]


async def test_one_store_named_is_the_home_of_all_probes(chain: Cluster) -> None:
    answer = (await raw(chain, "A", np.concatenate([ADA, BOB]))).json()
    assert [(result["store"], result["candidates"][0]["face_id"]) for result in answer["results"]] == [
        ("A", "ada"),
        ("A", "bob"),
    ]


async def test_embeddings_may_come_as_json(chain: Cluster) -> None:
    searches = [{"store": "A", "embedding": ADA[0].tolist()}, {"store": "C", "embedding": BOB[0].tolist()}]
    answer = (await chain.http.post("/v1/search:batch", json={"searches": searches})).json()
    assert [told(result) for result in answer["results"]] == [("match", "home", "ada"), ("match", "fan_out", "bob")]


async def test_probes_that_looked_at_the_same_share_a_coverage(chain: Cluster) -> None:
    answer = (await raw(chain, "A,B,C", np.concatenate([STRANGER] * 3))).json()
    assert [result["coverage"] for result in answer["results"]] == [0, 0, 0]
    assert len(answer["coverages"]) == 1


async def test_a_member_of_a_batch_is_shown_with_the_card(chain: Cluster) -> None:
    await chain.http.put("/v1/members/c-1", json={"display_name": "Ada"})
    bound = await chain.http.put("/v1/members/c-1/faces/A/ada")
    assert bound.is_success, bound.text
    answer = (await raw(chain, "A,B", np.concatenate([ADA, ADA]))).json()
    assert [result["member"]["display_name"] for result in answer["results"]] == ["Ada", "Ada"]


async def test_strangers_are_inconclusive_while_a_shard_is_away_and_refused_on_request(chain: Cluster) -> None:
    del chain.shards.apps["s2-a"]
    answer = (await raw(chain, "A,B,A", np.concatenate([STRANGER, STRANGER, ADA]))).json()
    assert [result["verdict"] for result in answer["results"]] == ["inconclusive", "inconclusive", "match"]
    assert answer["coverages"][answer["results"][1]["coverage"]]["stores"]["missing"] == ["B"]
    assert answer["results"][1]["version"] is None
    refused = await raw(chain, "A,B", np.concatenate([ADA, STRANGER]), allow_partial=False)
    assert (refused.status_code, refused.json()["code"]) == (503, "PARTIAL_COVERAGE")


async def test_a_store_that_nobody_answers_for_takes_nothing_from_the_others_of_its_batch(chain: Cluster) -> None:
    del chain.shards.apps["s2-a"]
    answer = (await raw(chain, "A,B", np.concatenate([ADA, BOB]), scope="store")).json()
    assert [result["verdict"] for result in answer["results"]] == ["match", "inconclusive"]
    assert answer["coverages"][answer["results"][1]["coverage"]]["stores"]["missing"] == ["B"]


async def test_a_batch_that_nobody_answers_at_all_is_an_error(chain: Cluster) -> None:
    chain.shards.apps.clear()
    for scope in ("auto", "store", "group"):
        refused = await raw(chain, "A,F", np.concatenate([ADA, BOB]), scope=scope)
        assert (refused.status_code, refused.json()["code"]) == (503, "NOTHING_SEARCHED")


@pytest.mark.parametrize(
    ("stores", "probes", "status", "code", "field"),
    [
        ("", ADA, 422, "INVALID_REQUEST", "stores"),
        ("A,B", ADA, 422, "INVALID_REQUEST", "stores"),
        ("A,,B", np.concatenate([ADA] * 3), 422, "INVALID_REQUEST", "stores"),
        ("A,nowhere", np.concatenate([ADA] * 2), 404, "UNKNOWN_STORE", "store"),
        ("A", ADA[:, :-1], 422, "WRONG_DIMENSION", "body"),
        ("A", np.full_like(ADA, np.nan), 422, "NOT_FINITE", "body"),
        ("A", np.zeros_like(ADA), 422, "ZERO_VECTOR", "body"),
        ("A", np.repeat(ADA, MAX_BATCH + 1, axis=0), 422, "INVALID_REQUEST", "embeddings"),
    ],
)
async def test_bad_batches_are_told_which_field_is_wrong(
    chain: Cluster, stores: str, probes: Vectors, status: int, code: str, field: str
) -> None:
    response = await raw(chain, stores, np.ascontiguousarray(probes))
    assert (response.status_code, response.json()["code"], response.json()["field"]) == (status, code, field)


@pytest.mark.parametrize(
    "body", [{}, {"searches": []}, {"searches": [{"store": "A"}]}, {"searches": [{"store": "A", "embedding": [1.0]}]}]
)
async def test_bad_json_batches_are_refused(chain: Cluster, body: dict[str, Any]) -> None:
    assert (await chain.http.post("/v1/search:batch", json=body)).status_code == 422


async def test_unknown_options_and_json_with_stores_in_the_query_are_refused(chain: Cluster) -> None:
    searches = {"searches": [{"store": "A", "embedding": ADA[0].tolist()}]}
    assert (await chain.http.post("/v1/search:batch?stores=A", json=searches)).json()["field"] == "stores"
    assert (await raw(chain, "A", ADA, topk=3)).json()["field"] == "topk"
    assert (await raw(chain, "A", ADA, top_k=0)).json()["field"] == "top_k"


async def test_a_batch_makes_one_call_a_shard_for_all_homes_and_one_for_all_that_go_on(chain: Cluster) -> None:
    calls: list[tuple[str, int]] = []

    def count(request: httpx.Request) -> httpx.Response:
        calls.append((request.url.host, len(wire.unpack_call(request.content).queries)))
        return httpx.Response(503)

    await chain.create("D", shard="s1")
    chain.shards.faults = {f"s{n}-a": count for n in (1, 2, 3)}
    assert (await raw(chain, "A,B,C,D", np.concatenate([ADA, BOB, EVE, STRANGER]))).status_code == 503
    assert sorted(calls) == [("s1-a", 1), ("s1-a", 2), ("s2-a", 1), ("s2-a", 1), ("s3-a", 1), ("s3-a", 1)]


async def test_a_batch_shares_a_coverage_until_a_store_changes(chain: Cluster) -> None:
    async def versions() -> list[dict[str, int]]:
        async with Deadline(10) as deadline:
            view, identifier = chain.services.view, chain.services.identifier
            askings = [Asking(view.stores[name], STRANGER) for name in "ABC"]
            answers, _ = await identifier.identify_each(askings, Asked(), deadline)
            coverages = {id(result.coverage): result.coverage for results in answers for result in results}
            return [coverage.searched for coverage in coverages.values()]

    assert await versions() == await versions() == [{"A": 1, "B": 1, "C": 0}]
    await chain.enrol("C", EVE, face_id="eve")
    assert await versions() == [{"A": 1, "B": 1, "C": 1}]
