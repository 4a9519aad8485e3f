"""Qdrant's engine in this process (qdrant-edge-py): segments, graphs and payload indexes of the server, no network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from common.types import Vectors
from tests.bench.peers import EFFORTS, Ordinary, Positions, batches, lacking, library, positions

BATCH = 1000
EF_CONSTRUCT, FULL_SCAN_KB = 100, 10_000
"""Qdrant's defaults, as is m = 16"""


class QdrantEdge(Ordinary):
    """A store is a tenant: a keyword of the payload, indexed as such. Up to FULL_SCAN_KB of a tenant are scanned."""

    knob = "hnsw_ef"
    efforts = EFFORTS
    in_process = True

    def __init__(self, name: str, links: int = 16) -> None:
        self.name, self._links = name, links
        self._shard: Any = None
        self._ef = self.efforts[0]

    def available(self) -> str | None:
        return lacking("qdrant_edge")

    def fill(self, rows: Vectors, stores: Positions) -> None:
        edge = library("qdrant_edge")
        vectors = edge.EdgeVectorParams(size=rows.shape[1], distance=edge.Distance.Cosine)
        hnsw = edge.HnswIndexConfig(m=self._links, ef_construct=EF_CONSTRUCT, full_scan_threshold=FULL_SCAN_KB)
        config = edge.EdgeConfig(vectors=vectors, hnsw_config=hnsw)
        self._shard = edge.EdgeShard.create(str(self.folder), config)
        update = edge.UpdateOperation
        tenant = edge.KeywordIndexParams(is_tenant=True)
        self._shard.update(update.create_field_index("store", tenant))
        for batch in batches(len(rows), BATCH):
            self._shard.update(update.upsert_points(list(_points(edge, rows, stores, batch))))
        self._shard.optimize()
        self._shard.flush()

    def use(self, effort: int) -> None:
        self._ef = effort

    def client(self) -> QdrantEdge:
        return self

    def search_all(self, probes: Vectors) -> Positions:
        return positions(self._nearest(probe, None) for probe in probes)

    def search_store(self, probes: Vectors, stores: Positions) -> Positions:
        edge = library("qdrant_edge")
        return positions(
            self._nearest(probe, edge.Filter(must=[edge.FieldCondition("store", edge.MatchValue(str(store)))]))
            for probe, store in zip(probes, stores.tolist(), strict=True)
        )

    def _nearest(self, probe: Vectors, within: Any) -> int:
        edge = library("qdrant_edge")
        query, params = edge.Query.Nearest(probe.tolist()), edge.SearchParams(hnsw_ef=self._ef)
        found = self._shard.query(edge.QueryRequest(limit=1, query=query, filter=within, params=params))
        return int(found[0].id)

    def close(self) -> None:
        if self._shard is not None:
            self._shard.close()
        super().close()


def _points(edge: Any, rows: Vectors, stores: Positions, batch: slice) -> Iterator[Any]:
    for place, row, store in zip(range(batch.start, batch.stop), rows[batch].tolist(), stores[batch], strict=True):
        yield edge.Point(place, row, {"store": str(store)})
