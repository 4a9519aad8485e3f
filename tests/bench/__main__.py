"""`make bench`: the hot paths of a real local cluster, each beside its yardstick taken in the same run.

Ratios are what travels between machines; times are for this one. Rows are random directions: how fast a search is does
not depend on whose faces they are, how *good* it is `facegrid evaluate` tells.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import faiss
import httpx
import numpy as np
from rich.console import Console
from rich.table import Table

from common.settings import EncoderSettings
from common.types import Vectors
from deploy.demo.shoppers import shoppers
from deploy.local.cluster import LocalCluster
from deploy.local.embedded_redis import free_port
from gateway.encoder.decode import decode
from gateway.encoder.dlib_encoder import DlibEncoder
from tests.bench.load import Measured, load, request

STORES, FACES_EACH = 30, 200
CLIENTS = 16
REQUESTS = 3000
PHOTOS = 40


def unit(seed: int, count: int) -> Vectors:
    rows = np.random.default_rng(seed).normal(size=(count, 128))
    return np.ascontiguousarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


class Report:
    def __init__(self) -> None:
        self.table = Table("what", "a second", "p50 ms", "p99 ms", "ratio to its yardstick", box=None)
        self.figures: dict[str, dict[str, float]] = {}

    def add(self, what: str, measured: Measured, ratio: float | None = None, yardstick: str = "") -> None:
        assert measured.failures == 0, f"{what}: {measured.failures} failures, {measured.answer[:300]!r}"
        shown = "" if ratio is None else f"{ratio:.2f} of {yardstick}"
        self.table.add_row(
            what, f"{measured.per_second:,.0f}", f"{measured.p50_ms:.2f}", f"{measured.p99_ms:.2f}", shown
        )
        self.figures[what] = {
            "per_second": measured.per_second,
            "p50_ms": measured.p50_ms,
            "p99_ms": measured.p99_ms,
        } | ({} if ratio is None else {"ratio": ratio})


async def fill(port: int, rows: Vectors, report: Report) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        for store in range(STORES):
            (await http.put(f"/v1/stores/S{store}", json={})).raise_for_status()
    prepared = [
        request(f"/v1/stores/S{at % STORES}/faces?face_id=f{at}&wait=committed", row.tobytes())
        for at, row in enumerate(rows)
    ]
    report.add(f"enrol, on disk, {CLIENTS} clients", await load(port, prepared, CLIENTS))
    visible = [
        request(f"/v1/stores/S{at % STORES}/faces?face_id=v{at}", row.tobytes()) for at, row in enumerate(unit(9, 300))
    ]
    report.add("enrol, visible, 1 client", await load(port, visible, 1))


async def searches(port: int, rows: Vectors, report: Report) -> None:
    home = [request(f"/v1/stores/S{at % STORES}/search", rows[at % len(rows)].tobytes()) for at in range(REQUESTS)]
    first = await load(port, home[:200], 1)
    report.add("search at home, 1 client", first)
    bare_port = free_port()
    bare = subprocess.Popen([sys.executable, "-m", "tests.bench.bare", str(bare_port), str(len(first.answer))])
    try:
        await answering(bare_port)
        yardstick = await load(bare_port, [request("/", rows[0].tobytes())] * REQUESTS, CLIENTS)
    finally:
        bare.kill()
        bare.wait()
    report.add(f"bare endpoint, {CLIENTS} clients", yardstick)
    measured = await load(port, home, CLIENTS)
    ratio = measured.per_second / yardstick.per_second
    report.add(f"search at home, {CLIENTS} clients", measured, ratio, "bare endpoint")
    strangers = [request("/v1/stores/S0/search", row.tobytes()) for row in unit(5, REQUESTS // 3)]
    measured = await load(port, strangers, CLIENTS)
    ratio = measured.per_second / yardstick.per_second
    report.add(f"stranger, fan-out, {CLIENTS} clients", measured, ratio, "bare endpoint")


async def answering(port: int) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


def in_process(rows: Vectors, report: Report) -> None:
    """What Faiss alone needs for the same rows, flat, one probe at a time, one thread."""
    faiss.omp_set_num_threads(1)
    probes = unit(5, 300)
    times = []
    for probe in probes:
        started = time.perf_counter()
        faiss.knn(probe[None], rows, 5, metric=faiss.METRIC_INNER_PRODUCT)
        times.append(time.perf_counter() - started)
    times.sort()
    took = sum(times)
    measured = Measured(len(times) / took, 1000 * times[150], 1000 * times[297], 0, b"")
    report.add(f"Faiss in process, {len(rows):,} rows", measured)


async def photos(port: int, report: Report) -> None:
    pictures = [photo for shopper in shoppers(4, 2) for photo in shopper.photos]
    settings, encoder = EncoderSettings(), DlibEncoder()
    started = time.perf_counter()
    for photo in pictures:
        encoder.encode(decode(photo, settings), max_faces=1, thumbnails=False)
    alone = len(pictures) / (time.perf_counter() - started)
    prepared = [_multipart("/v1/stores/S0/search", pictures[at % len(pictures)]) for at in range(PHOTOS)]
    measured = await load(port, prepared, 4)
    cores = os.cpu_count() or 1
    report.add("photo search, 4 clients", measured, measured.per_second / (cores * alone), f"{cores} bare encoders")


def _multipart(path: str, photo: bytes) -> bytes:
    head = b'--b\r\nContent-Disposition: form-data; name="image"; filename="p.jpg"\r\n\r\n'
    return request(path, head + photo + b"\r\n--b--\r\n", "multipart/form-data; boundary=b")


async def measure(cluster: LocalCluster) -> Report:
    report, rows = Report(), unit(1, STORES * FACES_EACH)
    await fill(cluster.port, rows, report)
    await searches(cluster.port, rows, report)
    await photos(cluster.port, report)
    in_process(rows, report)
    return report


def main() -> None:
    console = Console()
    with tempfile.TemporaryDirectory() as folder, LocalCluster(Path(folder) / "data", port=free_port()) as cluster:
        console.print(f"{STORES} stores x {FACES_EACH} faces on 3 shards, {os.cpu_count()} cores, load included …")
        report = asyncio.run(measure(cluster))
    console.print(report.table)
    out = Path("build/bench.json")
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(report.figures, indent=2) + "\n")
    console.print(f"Figures: {out}")


if __name__ == "__main__":
    main()
