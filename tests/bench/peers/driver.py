"""One peer, filled, its knob set, and measured, beside an exact scan in the same process in the same minute."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import faiss
import numpy as np

from tests.bench.peers import CORES, Peer, Positions
from tests.bench.peers.clients import Questions, answers, per_second
from tests.bench.peers.data import Workload

WANTED = 0.99
"""recall: the share of the probes whose most alike row was found"""
NEAR = 0.002
"""of its own best recall, that a peer may stay below where it cannot reach WANTED: the last step is the dearest"""
YARDSTICK_S = 1.5
"""before the loads, and again after them"""


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one peer. Rates are probes a second; a recall is a share of probes.

    `recalls`: setting of the knob → recall over all stores, for those that were tried; `effort`: the one chosen, and
    `effort_at_home` that for searches of one store. `stores_s`: what these needed beyond `ingest_s`. `flat_per_second`:
    exact scans of the same rows in this process, one probe at a time on one core; rates of different runs are compared
    after division by it.
    """

    name: str
    knob: str
    effort: int | None
    recalls: dict[int, float]
    recall: float
    recall_of_strangers: float
    per_second: float
    effort_at_home: int | None
    recall_at_home: float
    per_second_at_home: float
    ingest_s: float
    stores_s: float
    flat_per_second: float


def measure(peer: Peer, workload: Workload, clients: int, seconds: float, say: Callable[[str], None]) -> Figures:
    """`seconds`: of each of the two loads. The caller closes the peer."""
    say(f"filled with {len(workload.rows):,} rows ...")
    peer.start()
    ingest_s = _seconds(lambda: peer.fill(workload.rows, workload.stores))
    stores_s = _seconds(lambda: peer.fill_stores(workload.rows, workload.stores))
    say(f"filled in {ingest_s:.1f} s, and {stores_s:.1f} s more for searches of one store")
    everywhere = Questions(workload.probes, None, peer.batch)
    effort, recalls = tune(peer, everywhere, workload.nearest, say)
    found = answers(peer, everywhere, CORES)
    flat = flat_per_second(workload)
    rate = per_second(peer, everywhere, clients, seconds)
    say(f"{rate:,.0f} a second over all stores")
    at_home = Questions(workload.probes, workload.homes, peer.batch)
    effort_at_home, _ = tune(peer, at_home, workload.nearest_at_home, say)
    found_at_home = answers(peer, at_home, CORES)
    rate_at_home = per_second(peer, at_home, clients, seconds)
    say(f"{rate_at_home:,.0f} a second at one store")
    strangers = slice(0, len(found) // 2)
    return Figures(
        name=peer.name,
        knob=peer.knob,
        effort=effort,
        recalls=recalls,
        recall=recall(found, workload.nearest),
        recall_of_strangers=recall(found[strangers], workload.nearest[strangers]),
        per_second=rate,
        effort_at_home=effort_at_home,
        recall_at_home=recall(found_at_home, workload.nearest_at_home),
        per_second_at_home=rate_at_home,
        ingest_s=ingest_s,
        stores_s=stores_s,
        flat_per_second=(flat + flat_per_second(workload)) / 2,
    )


def tune(
    peer: Peer, questions: Questions, nearest: Positions, say: Callable[[str], None]
) -> tuple[int | None, dict[int, float]]:
    """Set the knob to the least effort that reaches WANTED, or comes NEAR the best recall; (effort, recalls tried).

    Recall grows with the effort, so that halving the range finds the place.
    """
    recalls: dict[int, float] = {}
    if not peer.efforts:
        return None, recalls

    def at(place: int) -> float:
        effort = peer.efforts[place]
        if effort not in recalls:
            peer.use(effort)
            recalls[effort] = recall(answers(peer, questions, CORES), nearest)
            say(f"recall {recalls[effort]:.3f} at {peer.knob} {effort}")
        return recalls[effort]

    low, high = 0, len(peer.efforts) - 1
    wanted = min(WANTED, at(high) - NEAR)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if at(middle) >= wanted else (middle + 1, high)
    peer.use(peer.efforts[high])
    return peer.efforts[high], recalls


def recall(found: Positions, nearest: Positions) -> float:
    return float(np.mean(found == nearest))


def flat_per_second(workload: Workload) -> float:
    """Ordinary scans a second, one probe at a time, on one core."""
    faiss.omp_set_num_threads(1)
    done, started = 0, time.perf_counter()
    while (took := time.perf_counter() - started) < YARDSTICK_S:
        probe = workload.probes[done % len(workload.probes)]
        faiss.knn(probe[None], workload.rows, 1, metric=faiss.METRIC_INNER_PRODUCT)
        done += 1
    faiss.omp_set_num_threads(CORES)
    return done / took


def _seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
