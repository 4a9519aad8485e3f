"""Every peer that is installed gives the exact answers to a small workload, asked by itself and by many at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest

from common.types import Vectors
from tests.bench.peers import Ordinary, Peer, Positions, by_store
from tests.bench.peers.__main__ import absent, table
from tests.bench.peers.clients import Questions, answers, per_second
from tests.bench.peers.data import Workload
from tests.bench.peers.driver import WANTED, recall, tune
from tests.bench.peers.registry import ABSENT, named, peers

NAMES = [peer.name for peer in peers() if not peer.name.startswith("facegrid")]
"""Facegrid's own searches have tests of their own"""


@pytest.fixture(scope="module")
def workload() -> Workload:
    return Workload.make(2000, probes=40, faces_each=200)


@pytest.fixture(params=NAMES)
def peer(request: pytest.FixtureRequest, workload: Workload) -> Iterator[Peer]:
    chosen = next(peer for peer in peers() if peer.name == request.param)
    if why := chosen.available():
        pytest.skip(why)
    with closing(chosen):
        chosen.start()
        chosen.fill(workload.rows, workload.stores)
        chosen.fill_stores(workload.rows, workload.stores)
        yield chosen


def test_a_peer_finds_the_most_alike_row_of_all_and_of_a_store(peer: Peer, workload: Workload) -> None:
    everywhere, at_home = Questions(workload.probes, None), Questions(workload.probes, workload.homes)
    tune(peer, everywhere, workload.nearest, lambda _: None)
    assert recall(answers(peer, everywhere, 2), workload.nearest) >= WANTED
    tune(peer, at_home, workload.nearest_at_home, lambda _: None)
    assert recall(answers(peer, at_home, 2), workload.nearest_at_home) >= WANTED


def test_the_rates_of_clients_here_and_in_other_processes_are_of_answers(workload: Workload) -> None:
    everywhere = Questions(workload.probes, None)
    for chosen in peers():
        if chosen.name in {"faiss", "faiss-rpc-ivf"}:
            with closing(chosen):
                chosen.start()
                chosen.fill(workload.rows, workload.stores)
                assert per_second(chosen, everywhere, clients=2, seconds=0.05) > 0


class Ladder(Ordinary):
    """Finds the first `effort` of a hundred probes, and never more than `most`."""

    name, knob = "ladder", "steps"
    in_process = True

    def __init__(self, most: int) -> None:
        self.efforts = (10, 50, 90, 99, 100)
        self._most, self._found = most, 0

    def fill(self, rows: Vectors, stores: Positions) -> None:
        """Has no rows."""

    def use(self, effort: int) -> None:
        self._found = min(effort, self._most)

    def client(self) -> Ladder:
        return self

    def search_all(self, probes: Vectors) -> Positions:
        return np.where(probes[:, 0] < self._found, 1, 0).astype(np.int64)

    def search_store(self, probes: Vectors, stores: Positions) -> Positions:
        raise NotImplementedError

    def close(self) -> None:
        """Has nothing."""


@pytest.mark.parametrize(("most", "effort"), [(100, 99), (99, 99), (95, 99), (50, 50)])
def test_the_knob_is_set_to_the_least_effort_that_suffices_or_comes_near_the_best(most: int, effort: int) -> None:
    questions = Questions(np.arange(100, dtype=np.float32)[:, None], None)
    ladder = Ladder(most)
    chosen, recalls = tune(ladder, questions, np.ones(100, dtype=np.int64), lambda _: None)
    assert chosen == effort
    assert recalls[effort] == min(effort, most) / 100


def test_a_name_also_chooses_its_variants_and_an_unknown_one_is_refused() -> None:
    everyone = ["hnswlib", "hnswlib-m24", "faiss", "faiss-rpc-ivf"]
    assert named("all", everyone) == everyone
    assert named("hnswlib", everyone) == ["hnswlib", "hnswlib-m24"]
    assert named("faiss-rpc,hnswlib-m24", everyone) == ["hnswlib-m24", "faiss-rpc-ivf"]
    with pytest.raises(ValueError, match="no such peer: nobody; there are hnswlib"):
        named("hnswlib,nobody", everyone)


def test_an_absent_peer_stands_in_the_table_with_its_reason() -> None:
    why = absent("pgvector", "")
    assert why == "no server was named (--postgres)"
    (name, reason) = next(iter(ABSENT.items()))
    assert absent(name, "") == reason
    page = table([{"name": name, "absent": reason}], "rows")
    assert [list(column.cells) for column in page.columns[:2]] == [[name], [reason]]


def test_rows_are_grouped_by_store() -> None:
    groups = {store: places.tolist() for store, places in by_store(np.array([3, 1, 3, 1, 7]))}
    assert groups == {1: [1, 3], 3: [0, 2], 7: [4]}
