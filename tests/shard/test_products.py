"""Inner products: exact ones are the same in every company, and Faiss runs beside other threads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import faiss
import numpy as np

from shard.products import exact_scores, nearest, quick_scores, use_one_openmp_thread
from tests.shard.helpers import unit


def test_a_score_is_the_same_alone_and_among_others() -> None:
    rows, probe = unit(5000, 1), unit(1, 2)[0]
    every = exact_scores(probe[None], rows, np.arange(5000)[None])[0]
    assert every.dtype == np.float32
    assert np.array_equal(every, (rows.astype(np.float64) * probe.astype(np.float64)).sum(axis=1).astype(np.float32))
    for at in (0, 1, 4095, 4096, 4999):
        assert exact_scores(probe[None], rows, np.array([[at]]))[0, 0] == every[at]
    many, slots = unit(300, 3), np.arange(-300, 4200).reshape(300, 15)
    among = exact_scores(many, rows, slots)
    for line, at in ((0, 0), (20, 14), (272, 14), (273, 0), (299, 14)):
        alone = exact_scores(many[line : line + 1], rows, slots[line : line + 1, at : at + 1])
        assert among[line, at] == alone[0, 0]
    assert np.array_equal(among == -np.inf, slots < 0)


def test_quick_scores_are_those_of_the_slots_named_and_of_none_where_none_is() -> None:
    rows, probes = unit(50, 1), unit(2, 2)
    slots = np.array([[3, -1, 49], [0, 3, -1]])
    found = quick_scores(probes, rows, slots)
    assert np.array_equal(found == -np.inf, slots < 0)
    assert np.allclose(found[slots >= 0], (probes @ rows.T)[[0, 0, 1, 1], [3, 49, 0, 3]], atol=1e-6)


def test_openmp_threads_are_limited_where_a_search_thread_starts() -> None:
    with ThreadPoolExecutor(1, initializer=use_one_openmp_thread) as pool:
        assert pool.submit(faiss.omp_get_max_threads).result() == 1


def test_faiss_lets_other_threads_run_while_it_searches() -> None:
    probes, rows, moments = unit(64, 1), unit(50_000), 0
    search = threading.Thread(target=nearest, args=(probes, rows, 10))
    search.start()
    while search.is_alive():
        moments += 1
    assert moments > 100  # with the GIL held it would be a handful: one before, one after
