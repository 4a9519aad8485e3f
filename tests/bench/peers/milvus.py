"""milvus-lite as a server process, which it asks for where there is more than one client; pymilvus clients."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from common.types import Vectors
from deploy.local.children import start_child
from deploy.local.embedded_redis import free_port
from tests.bench.peers import EFFORTS, Ordinary, Positions, batches, lacking, library, positions, until_open

BATCH = 5000
NAME = "faces"


class MilvusLite(Ordinary):
    """HNSW as it ships (M 16, efConstruction 200), a graph for every segment; the store is a field with an index."""

    name = "milvus-lite"
    knob = "ef"
    efforts = EFFORTS

    def __init__(self) -> None:
        self._port, self._ef = 0, self.efforts[0]
        self._process: subprocess.Popen[bytes] | None = None

    def available(self) -> str | None:
        return lacking("milvus_lite", "pymilvus")

    def start(self) -> None:
        self._port = free_port()
        folder = str(self.folder / "data")
        command = [sys.executable, "-m", "milvus_lite", "server", "--data-dir", folder, "--port", str(self._port)]
        self._process = start_child(command)
        until_open(self._port)

    def fill(self, rows: Vectors, stores: Positions) -> None:
        kinds, client = library("pymilvus").DataType, self._connected()
        schema = client.create_schema(auto_id=False)
        schema.add_field("id", kinds.INT64, is_primary=True)
        schema.add_field("store", kinds.INT64)
        schema.add_field("row", kinds.FLOAT_VECTOR, dim=rows.shape[1])
        client.create_collection(NAME, schema=schema)
        for batch in batches(len(rows), BATCH):
            each = zip(range(batch.start, batch.stop), stores[batch].tolist(), rows[batch], strict=True)
            client.insert(NAME, [{"id": place, "store": store, "row": row} for place, store, row in each])
        client.flush(NAME)
        indexes = client.prepare_index_params()
        indexes.add_index("row", index_type="HNSW", metric_type="COSINE", params={"M": 16, "efConstruction": 200})
        indexes.add_index("store", index_type="INVERTED")
        client.create_index(NAME, indexes)
        client.load_collection(NAME)
        client.close()

    def _connected(self) -> Any:
        return library("pymilvus").MilvusClient(uri=f"http://127.0.0.1:{self._port}")

    def use(self, effort: int) -> None:
        self._ef = effort

    def client(self) -> MilvusClient:
        return MilvusClient(self._port, self._ef)

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        super().close()


class MilvusClient:
    def __init__(self, port: int, ef: int) -> None:
        self._port, self._ef = port, ef
        self._milvus: Any = None

    def _nearest(self, probe: Vectors, within: str) -> int:
        if self._milvus is None:
            self._milvus = library("pymilvus").MilvusClient(uri=f"http://127.0.0.1:{self._port}")
        params = {"metric_type": "COSINE", "params": {"ef": self._ef}}
        found = self._milvus.search(NAME, [probe], filter=within, limit=1, search_params=params)
        return int(found[0][0]["id"])

    def search_all(self, probes: Vectors) -> Positions:
        return positions(self._nearest(probe, "") for probe in probes)

    def search_store(self, probes: Vectors, stores: Positions) -> Positions:
        asked = zip(probes, stores.tolist(), strict=True)
        return positions(self._nearest(probe, f"store == {store}") for probe, store in asked)

    def close(self) -> None:
        if self._milvus is not None:
            self._milvus.close()
