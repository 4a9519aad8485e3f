"""What every peer is asked: the rows, who is looked for and where, and the exact answers."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import faiss
import numpy as np

from common.types import Vectors
from tests.bench.faces import Faces
from tests.bench.peers import CORES, Positions

FACES_EACH = 1000
"""rows of a store"""
PROBES = 1000
"""the first half are strangers, whose nearest row is hard to find; the others are enrolled, and look where they are"""
ROWS_SEED, STRANGERS_SEED, AGAIN, DICE = 10, 20, 30, 40


@dataclass(frozen=True, slots=True)
class Workload:
    rows: Vectors
    """(n, d)"""
    stores: Positions
    """(n,): the store of each row"""
    probes: Vectors
    """(p, d)"""
    homes: Positions
    """(p,): the store at which each probe is searched"""
    nearest: Positions
    """(p,): the row with the highest score of all"""
    nearest_at_home: Positions
    """(p,): the row with the highest score in the store"""

    @classmethod
    def make(cls, rows: int, probes: int = PROBES, faces_each: int = FACES_EACH) -> Self:
        faces, dice = Faces.load(), np.random.default_rng(DICE)
        gallery = faces.rows(rows, ROWS_SEED)
        stores = np.arange(rows, dtype=np.int64) // faces_each
        strangers = probes // 2
        known = dice.integers(rows, size=probes - strangers)
        asked = np.concatenate([faces.strangers(strangers, STRANGERS_SEED), faces.known(known, ROWS_SEED, AGAIN)])
        homes = np.concatenate([dice.integers(stores[-1] + 1, size=strangers), stores[known]])
        faiss.omp_set_num_threads(CORES)
        nearest = faiss.knn(asked, gallery, 1, metric=faiss.METRIC_INNER_PRODUCT)[1][:, 0].astype(np.int64)
        at_home = np.array([_best_at_home(gallery, stores, *each) for each in zip(asked, homes, strict=True)])
        return cls(gallery, stores, asked, homes, nearest, at_home)

    def save(self, folder: Path) -> None:
        for field in fields(self):
            np.save(folder / f"{field.name}.npy", getattr(self, field.name))

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls(*(np.load(folder / f"{field.name}.npy") for field in fields(cls)))


def _best_at_home(rows: Vectors, stores: Positions, probe: Vectors, home: int) -> int:
    first, end = np.searchsorted(stores, [home, home + 1])  # rows lie in the order of their stores
    return int(first + np.argmax(rows[first:end] @ probe))
