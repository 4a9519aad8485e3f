"""Many clients at once, each with one request under way: how many probes are answered in a second."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from threading import Barrier

import faiss
import numpy as np

from common.types import Vectors
from tests.bench.peers import CORES, Client, Peer, Positions

PROCESSES = CORES
"""that the clients of a peer in another process are spread over: with one, Python's lock would hold them up; with more
than there are cores, changing between them does"""


@dataclass(frozen=True, slots=True)
class Questions:
    """`homes`: None for searches over all stores. `batch`: probes of a request."""

    probes: Vectors
    homes: Positions | None
    batch: int = 1

    def ask(self, client: Client, which: slice) -> Positions:
        if self.homes is None:
            return client.search_all(self.probes[which])
        return client.search_store(self.probes[which], self.homes[which])


def answers(peer: Peer, questions: Questions, threads: int) -> Positions:
    """The answer to every question, asked once, by a few threads."""
    parts = [slice(part[0], part[-1] + 1) for part in np.array_split(np.arange(len(questions.probes)), threads)]

    def ask(part: slice) -> Positions:
        faiss.omp_set_num_threads(1)
        client = peer.client()
        requests = [
            slice(at, min(at + questions.batch, part.stop)) for at in range(part.start, part.stop, questions.batch)
        ]
        found = [questions.ask(client, request) for request in requests]
        if not peer.in_process:
            client.close()
        return np.concatenate(found)

    with ThreadPoolExecutor(threads) as pool:
        return np.concatenate(list(pool.map(ask, parts)))


def per_second(peer: Peer, questions: Questions, clients: int, seconds: float) -> float:
    """Probes answered a second, by `clients` closed loops: threads here if the peer is, else of PROCESSES others."""
    own = [peer.client() for _ in range(clients)]
    return _in_threads(own, questions, 0, seconds) if peer.in_process else _in_processes(own, questions, seconds)


def _in_processes(clients: Sequence[Client], questions: Questions, seconds: float) -> float:
    """All connect first; they start together when the last one is ready."""
    context = multiprocessing.get_context("spawn")
    shares = [list(clients[at::PROCESSES]) for at in range(min(PROCESSES, len(clients)))]
    working = []
    for at, share in enumerate(shares):
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, share, questions, at * len(share), seconds))
        process.start()
        theirs.close()
        working.append((process, ours))
    for _, connection in working:
        connection.recv()
    for _, connection in working:
        connection.send("start")
    rate = sum(connection.recv() for _, connection in working)
    for process, _ in working:
        process.join()
    return float(rate)


def _work(parent: Connection, clients: Sequence[Client], questions: Questions, first: int, seconds: float) -> None:
    for client in clients:
        questions.ask(client, slice(0, 1))
    parent.send("ready")
    parent.recv()
    parent.send(_in_threads(clients, questions, first, seconds))
    for client in clients:
        client.close()


def _in_threads(clients: Sequence[Client], questions: Questions, first: int, seconds: float) -> float:
    barrier = Barrier(len(clients))

    def loop(client: Client, at: int) -> float:
        faiss.omp_set_num_threads(1)  # of this thread alone: there are more clients than cores
        barrier.wait()
        done, started = 0, time.perf_counter()
        while (took := time.perf_counter() - started) < seconds:
            place = at % len(questions.probes)
            done += len(questions.ask(client, slice(place, place + questions.batch)))
            at += questions.batch
        return done / took

    stride = len(questions.probes) // len(clients)
    with ThreadPoolExecutor(len(clients)) as pool:
        return sum(pool.map(loop, clients, [(first + nth) * stride for nth in range(len(clients))]))
