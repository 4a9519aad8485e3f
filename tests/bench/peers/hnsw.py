"""hnswlib in this process: one graph of everything, one small graph for each store."""

from __future__ import annotations

from typing import Any

import numpy as np

from common.types import Vectors
from tests.bench.peers import CORES, EFFORTS, Ordinary, Positions, by_store, lacking, library, on_disk, positions

EF_CONSTRUCTION = 200
"""hnswlib's own default, as is M = 16"""
EF_AT_HOME = 64


class Hnswlib(Ordinary):
    """`links`: M, the edges of a point. On disk as the file that hnswlib writes."""

    knob = "ef"
    efforts = EFFORTS
    in_process = True

    def __init__(self, name: str, links: int = 16) -> None:
        self.name, self._links = name, links
        self._all: Any = None
        self._stores: dict[int, tuple[Any, Positions]] = {}

    def available(self) -> str | None:
        return lacking("hnswlib")

    def fill(self, rows: Vectors, stores: Positions) -> None:  # noqa: ARG002  # one graph of everything
        self._all = self._graph(rows)
        file = self.folder / "graph"
        self._all.save_index(str(file))
        on_disk(file)

    def fill_stores(self, rows: Vectors, stores: Positions) -> None:
        for store, places in by_store(stores):
            graph = self._graph(rows[places])
            graph.set_ef(EF_AT_HOME)
            self._stores[store] = graph, places

    def _graph(self, rows: Vectors) -> Any:
        graph = library("hnswlib").Index(space="ip", dim=rows.shape[1])
        graph.init_index(max_elements=len(rows), M=self._links, ef_construction=EF_CONSTRUCTION)
        graph.add_items(rows, num_threads=CORES)
        return graph

    def use(self, effort: int) -> None:
        self._all.set_ef(effort)

    def client(self) -> Hnswlib:
        return self

    def search_all(self, probes: Vectors) -> Positions:
        return positions(_nearest(self._all, probe) for probe in probes)

    def search_store(self, probes: Vectors, stores: Positions) -> Positions:
        return positions(self._at_home(*each) for each in zip(probes, stores.tolist(), strict=True))

    def _at_home(self, probe: Vectors, store: int) -> int:
        graph, places = self._stores[store]
        return int(places[_nearest(graph, probe)])


def _nearest(graph: Any, probe: Vectors) -> int:
    found = graph.knn_query(probe, k=1, num_threads=1)[0]
    return int(np.asarray(found)[0, 0])
