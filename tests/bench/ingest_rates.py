"""Enrolment: one by one and in bulk, on disk and visible to every search before it is answered."""

from __future__ import annotations

import io
import time

import httpx
import numpy as np

from common.types import Vectors
from tests.bench.faces import Faces
from tests.bench.filled import Layout, Truth
from tests.bench.ingest import bare_writes
from tests.bench.load import Measured, load, request
from tests.bench.questions import enrolments
from tests.bench.report import Line, Report, middle

SECTION = "enrolment, on disk and searchable"
SINGLY_S = 3.0
BULK_STORES, BULK_FACES = 20, 5000
BULKS_AT_ONCE = 4
BULK_SEED, ONE_SEED, MANY_SEED = 80, 81, 82


def npz(rows: Vectors) -> bytes:
    held = io.BytesIO()
    np.savez(held, embeddings=rows)
    return held.getvalue()


async def measure(port: int, truth: Truth, faces: Faces, layout: Layout, clients: int, report: Report) -> None:
    """Must show 6, first half."""
    one = enrolments(faces, layout, 4000, ONE_SEED)
    many = enrolments(faces, layout, 20_000, MANY_SEED)
    report.add(_singly("one by one, 1 client", await load(port, one, 1, seconds=SINGLY_S)))
    report.add(_singly(f"one by one, {clients} clients", await load(port, many, clients, seconds=SINGLY_S)))
    rows = faces.rows(BULK_STORES * BULK_FACES, BULK_SEED)
    bare = await bare_writes(truth.url, rows)
    report.add(Line(SECTION, "bare Redis, pipelined HSET of the same records", bare, "faces/s"))
    rate = await in_bulk(port, rows)
    line = Line(SECTION, f"faces:batch of {BULK_FACES:,}, {BULKS_AT_ONCE} at once", rate, "faces/s")
    report.add(line.beside(rate / bare, "bare Redis"))


def _singly(what: str, measured: Measured) -> Line:
    told = middle([measured])
    return Line(SECTION, what, told.per_second, "faces/s", told.p50_ms, told.p99_ms)


async def in_bulk(port: int, rows: Vectors) -> float:
    """Faces a second into new stores."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
        for nth in range(BULK_STORES):
            (await http.put(f"/v1/stores/bulk-{nth}", json={})).raise_for_status()
    parts = np.split(rows, BULK_STORES)
    requests = [
        request(f"/v1/stores/bulk-{nth}/faces:batch", npz(part), "application/x-npz") for nth, part in enumerate(parts)
    ]
    started = time.perf_counter()
    middle([await load(port, requests, BULKS_AT_ONCE)])
    return len(rows) / (time.perf_counter() - started)
