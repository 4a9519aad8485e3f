"""Sharded answers equal unsharded ones: any number of shards gives what one numpy product over all rows gives."""

from __future__ import annotations

import numpy as np
import pytest

from common.types import Vectors
from tests.gateway.in_process import Cluster, cluster, unit

STORES = ["A", "B", "C", "D", "E"]


async def fill(running: Cluster, seed: int, faces: int) -> tuple[list[tuple[str, str]], Vectors]:
    """Random galleries in five stores on all shards, a third of the rows twins of others; answers (keys, rows)."""
    rng = np.random.default_rng(seed)
    rows = unit(seed, faces)
    twins = rng.integers(0, faces, size=faces // 3)
    rows[rng.choice(faces, size=faces // 3, replace=False)] = rows[twins]
    keys = [(STORES[n], f"f{at}") for at, n in enumerate(rng.integers(0, len(STORES), size=faces))]
    shards = sorted(running.services.view.shards)
    for at, store in enumerate(STORES):
        await running.create(store, shard=shards[at % len(shards)])
    for at in rng.permutation(faces):
        store, face_id = keys[at]
        response = await running.http.post(
            f"/v1/stores/{store}/faces",
            params={"face_id": face_id, "wait": "committed" if rng.random() < 0.9 else "visible"},
            content=rows[at].tobytes(),
            headers={"content-type": "application/octet-stream"},
        )
        assert response.status_code == 201
    for store in STORES:  # a last visible write to each store: all before it is visible too
        await running.enrol(store, unit(seed + 1), face_id="last")
        response = await running.http.delete(f"/v1/stores/{store}/faces/last")
        assert response.json()["visible"] is True
    return keys, rows


def unsharded(keys: list[tuple[str, str]], rows: Vectors, probe: Vectors, top_k: int) -> list[tuple[str, str, float]]:
    """One numpy product over all rows; ties ordered by (store, face_id)."""
    scores = (rows.astype(np.float64) @ probe.astype(np.float64)).astype(np.float32)
    order = sorted(range(len(keys)), key=lambda at: (-scores[at], keys[at]))[:top_k]
    return [(*keys[at], float(scores[at])) for at in order]


@pytest.mark.parametrize(("shards", "seed"), [(1, 11), (2, 12), (3, 13), (5, 14)])
async def test_n_shards_answer_like_one_numpy_product_ties_included(redis_url: str, shards: int, seed: int) -> None:
    async with cluster(redis_url, shards=shards) as running:
        keys, rows = await fill(running, seed, faces=90)
        probes = np.concatenate([unit(seed + 2, 4), rows[:12]])
        response = await running.http.post(
            "/v1/stores/A/search",
            params={"scope": "group", "top_k": 10, "threshold": 1},
            content=probes.tobytes(),
            headers={"content-type": "application/octet-stream"},
        )
        results = response.json()["results"]
        assert len(results) == len(probes)
        for probe, result in zip(probes, results, strict=True):
            expected = unsharded(keys, rows, probe, top_k=10)
            found = result["candidates"]
            assert [(c["store"], c["face_id"]) for c in found] == [(store, face_id) for store, face_id, _ in expected]
            assert [c["score"] for c in found] == pytest.approx([score for *_, score in expected], abs=1e-5)
            assert result["coverage"]["rows"] == len(rows)
            assert result["coverage"]["stores"]["missing"] == []


async def test_two_replicas_of_each_shard_answer_like_one(redis_url: str) -> None:
    async with cluster(redis_url, shards=2, replicas=2) as running:
        keys, rows = await fill(running, 21, faces=40)
        for host in ("s1-a", "s2-b"):  # whichever replica answers, the answer is the same
            del running.shards.apps[host]
            answer = (
                await running.http.post(
                    "/v1/stores/A/search",
                    params={"scope": "group", "top_k": 5},
                    json={"embeddings": rows[:3].tolist()},
                )
            ).json()
            for probe, result in zip(rows[:3], answer["results"], strict=True):
                expected = [(store, face_id) for store, face_id, _ in unsharded(keys, rows, probe, top_k=5)]
                assert [(c["store"], c["face_id"]) for c in result["candidates"]] == expected
                assert result["coverage"]["shards"] == {"total": 2, "ok": 2, "failed": []}
