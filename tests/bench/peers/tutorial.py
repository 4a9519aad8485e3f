"""The service of the face-recognition tutorials: one Flask process, one IndexFlatL2, a probe a request as raw float32.

`python -m tests.bench.peers.tutorial SERVER FOLDER PORT` is the service: SERVER is `flask`, `app.run(threaded=True)` as
the tutorials have it, or `waitress`, as Flask's manual advises for production. It serves until it is killed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from common.types import DLIB_DIMENSION, Vectors
from deploy.local.children import start_child
from deploy.local.embedded_redis import free_port
from tests.bench.peers import Ordinary, Positions, batches, by_store, lacking, library, on_disk, positions, until_open
from tests.bench.peers.http_client import Http

BATCH = 10_000
CLIENTS = 16
"""threads of waitress, one a client; it starts with four"""


class Tutorial(Ordinary):
    def __init__(self, server: str) -> None:
        self.name = self._server = server
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None

    def available(self) -> str | None:
        return lacking("flask", "waitress")

    def start(self) -> None:
        self._port = free_port()
        command = [sys.executable, "-m", __name__, self._server, str(self.folder), str(self._port)]
        self._process = start_child(command)
        until_open(self._port)

    def fill(self, rows: Vectors, stores: Positions) -> None:  # noqa: ARG002  # one index of everything
        client = self.client()
        for batch in batches(len(rows), BATCH):
            client.post("/faces", np.arange(batch.start, batch.stop).tobytes() + rows[batch].tobytes())
        client.post("/save", b"")

    def fill_stores(self, rows: Vectors, stores: Positions) -> None:
        client = self.client()
        for store, places in by_store(stores):
            client.post(f"/stores/{store}/faces", places.tobytes() + rows[places].tobytes())

    def client(self) -> TutorialClient:
        return TutorialClient(self._port)

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        super().close()


class TutorialClient:
    """Flask's own server closes the connection after each answer, waitress keeps it."""

    def __init__(self, port: int) -> None:
        self._http = Http(port)

    def post(self, path: str, body: bytes) -> bytes:
        return self._http.post(path, body)

    def search_all(self, probes: Vectors) -> Positions:
        return positions(_face(self.post("/search", probe.tobytes())) for probe in probes)

    def search_store(self, probes: Vectors, stores: Positions) -> Positions:
        asked = zip(probes, stores.tolist(), strict=True)
        return positions(_face(self.post(f"/stores/{store}/search", probe.tobytes())) for probe, store in asked)

    def close(self) -> None:
        self._http.close()


def _face(answer: bytes) -> int:
    return int(json.loads(answer)["face"])


class Faces:
    """The tutorial's two globals: an index, and whose each of its rows is."""

    def __init__(self) -> None:
        self.index = faiss.IndexFlatL2(DLIB_DIMENSION)
        self._names: list[int] = []

    def add(self, body: bytes) -> dict[str, int]:
        count = len(body) // (8 + 4 * DLIB_DIMENSION)
        self._names.extend(np.frombuffer(body[: 8 * count], dtype=np.int64).tolist())
        self.index.add(np.frombuffer(body[8 * count :], dtype=np.float32).reshape(count, DLIB_DIMENSION))
        return {"faces": self.index.ntotal}

    def search(self, body: bytes) -> dict[str, float]:
        distances, found = self.index.search(np.frombuffer(body, dtype=np.float32)[None], 1)
        return {"face": self._names[found[0, 0]], "distance": float(distances[0, 0])}


def service(folder: Path) -> Any:
    """The Flask application. What it is told to save goes to a file of the folder."""
    flask = library("flask")
    app = flask.Flask("tutorial")
    everybody = Faces()
    stores: defaultdict[int, Faces] = defaultdict(Faces)

    def body() -> bytes:
        data: bytes = flask.request.get_data()
        return data

    def save() -> dict[str, str]:
        file = folder / "faces.faiss"
        faiss.write_index(everybody.index, str(file))
        on_disk(file)
        return {"saved": file.name}

    app.post("/faces")(lambda: everybody.add(body()))
    app.post("/search", endpoint="search")(lambda: everybody.search(body()))
    app.post("/save")(save)
    app.post("/stores/<int:store>/faces", endpoint="add")(lambda store: stores[store].add(body()))
    app.post("/stores/<int:store>/search", endpoint="find")(lambda store: stores[store].search(body()))
    return app


def main() -> None:
    server, folder, port = sys.argv[1:]
    app = service(Path(folder))
    if server == "waitress":
        library("waitress").serve(app, host="127.0.0.1", port=int(port), threads=CLIENTS)
    else:
        app.run(port=int(port), threaded=True)


if __name__ == "__main__":
    main()
