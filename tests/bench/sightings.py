"""`python -m tests.bench.sightings`: sightings a second beside plain searches a second, on one cluster, in turns.

All get probes of the same kind: people at their own store, each somewhat off what is enrolled, and a few strangers. A
search only looks. A sighting also counts the visit, on disk, and enrols the stranger; the first one of a visit moreover
has its probe looked at as a template of the face, which goes on behind its answer and in part behind the sightings that
follow. So whole visits are measured: each round takes people who were not seen yet, and its sightings are their
arrivals, then the same people three times more. Half of them are regulars, whose faces have as many templates as visits
may give them. Which comes first, searches or sightings, changes from round to round; the middle of the rounds' ratios
is the result.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import httpx
import numpy as np
from rich.console import Console
from rich.table import Table

from common.types import Vectors
from deploy.local.cluster import LocalCluster
from deploy.local.embedded_redis import free_port
from tests.bench.faces import unit
from tests.bench.load import Measured, load, request

STORES, FACES_EACH = 30, 200
CLIENTS = 16
ROUNDS = 11
PEOPLE = STORES * FACES_EACH // (ROUNDS + 1)
"""of each round; the first one warms up"""
STRANGERS = 0.02
OFF = 0.02
"""noise of a probe: its score with the enrolled row is about 0.975, as of a good photo"""
REGULAR_TEMPLATES = 6
WITHIN = 3
"""sightings of a visit after the first: at a door, in two aisles and at a till"""
LEAST = 0.5
"""of the searches a second that sightings must reach"""
SEARCH, ARRIVE, AGAIN = "search", "sightings that begin a visit", "sightings within a visit"
KINDS = (SEARCH, ARRIVE, AGAIN)
TIMES = {SEARCH: 1 + WITHIN, ARRIVE: 1, AGAIN: WITHIN}
"""how often each person comes in a round"""


async def fill(port: int, rows: Vectors) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
        for store in range(STORES):
            (await http.put(f"/v1/stores/S{store}", json={})).raise_for_status()
    dice = np.random.default_rng(0)
    enrolments = []
    for at, row in enumerate(rows):
        templates = off(row, REGULAR_TEMPLATES, dice) if at % 2 else row
        path = f"/v1/stores/S{at % STORES}/faces?face_id=f{at}&wait=committed"
        enrolments.append(request(path, templates.tobytes()))
    measured = await load(port, enrolments, CLIENTS)
    assert measured.failures == 0, measured.answer[:300]


def off(row: Vectors, count: int, dice: np.random.Generator) -> Vectors:
    """Photos of one person, (count, 128) unit length."""
    photos = row + OFF * dice.standard_normal((count, 128))
    return np.ascontiguousarray(photos / np.linalg.norm(photos, axis=1, keepdims=True), dtype=np.float32)


def probes(rows: Vectors, first: int, seed: int) -> list[tuple[int, Vectors]]:
    """(store, embedding) of PEOPLE people from the first on; some of them are strangers instead."""
    dice = np.random.default_rng(seed)
    seen = []
    for at in first + dice.permutation(PEOPLE):
        known = dice.random() >= STRANGERS
        face = rows[at] if known else unit(int(dice.integers(2**31)), 1)[0]
        seen.append((int(at) % STORES, off(face, 1, dice)))
    return seen


def prepared(kind: str, seen: Sequence[tuple[int, Vectors]]) -> list[bytes]:
    paths = "/v1/stores/S{}/search" if kind == SEARCH else "/v1/stores/S{}/sightings?camera=door"
    return [request(paths.format(store), row.tobytes()) for store, row in seen]


async def measure(port: int, rows: Vectors) -> list[dict[str, Measured]]:
    rounds = []
    for nth in range(ROUNDS + 1):
        took: dict[str, Measured] = {}
        for kind in KINDS if nth % 2 else (ARRIVE, AGAIN, SEARCH):
            times = TIMES[kind]
            seen = [
                one
                for time in range(times)
                for one in probes(rows, nth * PEOPLE, 100 * nth + 10 * time + KINDS.index(kind))
            ]
            took[kind] = await load(port, prepared(kind, seen), CLIENTS)
            assert took[kind].failures == 0, f"{kind}: {took[kind].failures} failures, {took[kind].answer[:300]!r}"
        rounds.append(took)
    return rounds[1:]


async def left_behind(port: int) -> tuple[int, int]:
    """Strangers that sightings made faces of, and templates that they added to faces."""
    faces = templates = 0
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
        for store in range(STORES):
            page = (await http.get(f"/v1/stores/S{store}/faces?limit=1000")).raise_for_status().json()
            faces += len(page["faces"])
            templates += sum(face["templates"] for face in page["faces"])
    enrolled = STORES * FACES_EACH
    return faces - enrolled, templates - faces - enrolled // 2 * (REGULAR_TEMPLATES - 1)


def both(took: dict[str, Measured]) -> float:
    """Sightings a second of whole visits."""
    return (1 + WITHIN) / (1 / took[ARRIVE].per_second + WITHIN / took[AGAIN].per_second)


def ratio(rounds: Sequence[dict[str, Measured]]) -> float:
    return median(both(took) / took[SEARCH].per_second for took in rounds)


def report(rounds: Sequence[dict[str, Measured]]) -> Table:
    title = (
        f"{STORES} stores x {FACES_EACH} faces, {CLIENTS} clients, {STRANGERS:.0%} strangers, {os.cpu_count()} cores"
    )
    table = Table("what", "a second", "p50 ms", "p99 ms", "of the searches", title=title, box=None)
    for kind in KINDS:
        rate, p50, p99 = (
            median(values)
            for values in zip(*((each.per_second, each.p50_ms, each.p99_ms) for each in _of(rounds, kind)), strict=True)
        )
        ratios = sorted(took[kind].per_second / took[SEARCH].per_second for took in rounds)
        spread = f"{median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        table.add_row(kind, f"{rate:,.0f}", f"{p50:.1f}", f"{p99:.1f}", spread)
    return table


def _of(rounds: Sequence[dict[str, Measured]], kind: str) -> list[Measured]:
    return [took[kind] for took in rounds]


def main() -> None:
    console = Console()
    os.environ["FACEGRID_ENCODER_WORKERS"] = "0"
    rows = unit(1, STORES * FACES_EACH)
    with tempfile.TemporaryDirectory() as folder, LocalCluster(Path(folder) / "data", port=free_port()) as cluster:
        asyncio.run(fill(cluster.port, rows))
        rounds = asyncio.run(measure(cluster.port, rows))
        strangers, templates = asyncio.run(left_behind(cluster.port))
    console.print(report(rounds))
    console.print(
        f"Strangers enrolled: {strangers}, about {(ROUNDS + 1) * (1 + WITHIN) * PEOPLE * STRANGERS:.0f} expected."
    )
    newcomers = (ROUNDS + 1) * PEOPLE // 2
    console.print(f"Templates added: {templates}, of {newcomers} who came for the first time.")
    console.print(f"Sightings a second to searches a second: {ratio(rounds):.2f} (at least {LEAST} wanted).")
    raise SystemExit(0 if ratio(rounds) >= LEAST else 1)


if __name__ == "__main__":
    main()
