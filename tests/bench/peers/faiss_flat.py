"""Faiss itself in this process, exact: the limit of what a scan can do."""

from __future__ import annotations

import faiss
import numpy as np

from common.types import Vectors
from tests.bench.peers import Ordinary, Positions, by_store, on_disk, positions


class FaissFlat(Ordinary):
    """One flat index of everything, and one for each store. On disk as the file that Faiss writes."""

    name = "faiss"
    in_process = True

    def __init__(self) -> None:
        self._all: faiss.Index = faiss.IndexFlatIP(1)
        self._stores: dict[int, tuple[faiss.Index, Positions]] = {}

    def fill(self, rows: Vectors, stores: Positions) -> None:  # noqa: ARG002  # one index of everything
        self._all = flat(rows)
        file = self.folder / "rows.faiss"
        faiss.write_index(self._all, str(file))
        on_disk(file)

    def fill_stores(self, rows: Vectors, stores: Positions) -> None:
        self._stores = {store: (flat(rows[places]), places) for store, places in by_store(stores)}

    def client(self) -> FaissFlat:
        return self

    def search_all(self, probes: Vectors) -> Positions:
        return np.concatenate([self._all.search(probe[None], 1)[1][0] for probe in probes])

    def search_store(self, probes: Vectors, stores: Positions) -> Positions:
        return positions(self._at_home(*each) for each in zip(probes, stores.tolist(), strict=True))

    def _at_home(self, probe: Vectors, store: int) -> int:
        index, places = self._stores[store]
        return int(places[index.search(probe[None], 1)[1][0, 0]])


def flat(rows: Vectors) -> faiss.Index:
    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(rows)
    return index
