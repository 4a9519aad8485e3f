"""Facegrid itself: a local cluster with a shard for each core, filled and searched through its gateway, in the same
table."""

from __future__ import annotations

import io
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

import numpy as np

from common.types import Vectors
from deploy.local.cluster import LocalCluster
from deploy.local.embedded_redis import free_port
from shard.recipe import CODED_FROM
from tests.bench.faces import PHOTOS
from tests.bench.peers import CORES, POLL_S, Ordinary, Positions, by_store, positions
from tests.bench.peers.http_client import Http

AT_ONCE = 4
"""bulk enrolments"""
BATCH = 64
"""probes of a `search:batch`"""


class Facegrid(Ordinary):
    """`batch`: 1 for a search a request, more for `search:batch`. Without encoders: embeddings are searched for."""

    def __init__(self, name: str, batch: int = 1) -> None:
        self.name, self.batch = name, batch

    @cached_property
    def _cluster(self) -> LocalCluster:
        return LocalCluster(self.folder / "data", shards=CORES, port=free_port())

    def start(self) -> None:
        os.environ["FACEGRID_ENCODER_WORKERS"] = "0"
        self._cluster.start()

    def fill(self, rows: Vectors, stores: Positions) -> None:
        """Bulk enrolments, a store each; an answer comes when its faces are on disk and the next search sees them.

        Then the shards code them, during which they are scanned; that is waited for, as others' graphs are.
        """

        def enrol(store: int, places: Positions) -> None:
            http = Http(self._cluster.port)
            http.post(f"/v1/stores/{store}", b"{}", "application/json", "PUT")
            http.post(f"/v1/stores/{store}/faces:batch", _npz(rows[places], places), "application/x-npz")
            http.close()

        with ThreadPoolExecutor(AT_ONCE) as pool:
            for done in [pool.submit(enrol, store, places) for store, places in by_store(stores)]:
                done.result()
        http = Http(self._cluster.port)
        while not _coded(json.loads(http.post("/v1/shards", b"", method="GET")), len(rows)):
            time.sleep(POLL_S)
        http.close()

    def client(self) -> FacegridClient:
        return FacegridClient(self._cluster.port)

    def close(self) -> None:
        self._cluster.stop()
        super().close()


class FacegridClient:
    """Searches over all stores ask for the whole group at once, from any store: the first."""

    def __init__(self, port: int) -> None:
        self._http = Http(port)

    def search_all(self, probes: Vectors) -> Positions:
        if len(probes) > 1:
            return self._results("/v1/search:batch?stores=0&scope=group&top_k=1", probes)
        return self._results("/v1/stores/0/search?scope=group&top_k=1", probes)

    def search_store(self, probes: Vectors, stores: Positions) -> Positions:
        if len(probes) > 1:
            homes = ",".join(map(str, stores.tolist()))
            return self._results(f"/v1/search:batch?stores={homes}&scope=store&top_k=1", probes)
        return self._results(f"/v1/stores/{stores[0]}/search?scope=store&top_k=1", probes)

    def _results(self, path: str, probes: Vectors) -> Positions:
        answer = json.loads(self._http.post(path, probes.tobytes()))
        return positions(_face(result) for result in answer["results"])

    def close(self) -> None:
        self._http.close()


def _coded(answer: Any, rows: int) -> bool:
    """Whether the shards have all rows, and codes where these are of use."""
    groups = [group for shard in answer["shards"] for replica in shard["replicas"] for group in replica["groups"]]
    waiting = [group for group in groups if group["rows"] > CODED_FROM and group["recall"] is None]
    return sum(group["rows"] for group in groups) == rows and not waiting


def _face(result: Any) -> int:
    return int(result["candidates"][0]["face_id"])


def _npz(rows: Vectors, places: Positions) -> bytes:
    body = io.BytesIO()
    photos = np.full(len(rows), PHOTOS)
    np.savez(body, embeddings=rows, face_ids=places.astype(np.str_), photos=photos)
    return body.getvalue()
