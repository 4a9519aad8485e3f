"""Embeddings whose person is known, and every comparison between two of them.

All pairs of n photos are n²/2 numbers, so scores of different people are never kept: they are counted in bins of
STEP, a block of rows at a time. A threshold at the edge of a bin is then exact, and STEP is finer than any two
thresholds that matter. Pairs of one person are few and kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias
from zipfile import BadZipFile, is_zipfile

import numpy as np
import numpy.typing as npt

from common.errors import InvalidRequest
from common.types import Vectors
from common.vectors import unit_rows

Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]

STEP = 1e-5
BINS = round(2 / STEP) + 1
BLOCK = 512


@dataclass(frozen=True, eq=False)
class Labelled:
    """`rows` (n, d) of unit length; `persons` (n,) 0 … people - 1."""

    rows: Vectors
    persons: Ints

    @classmethod
    def of(cls, embeddings: npt.ArrayLike, persons: npt.ArrayLike) -> Labelled:
        """From (n, d) numbers of any length and (n,) labels of any kind.

        Raises InvalidRequest if the two do not fit together, and what `unit_rows` raises.
        """
        wide, labels = np.asarray(embeddings), np.asarray(persons)
        if wide.ndim != 2 or labels.shape != (len(wide),):
            detail = f"embeddings {wide.shape} and person {labels.shape} must be (n, d) and (n,)."
            raise InvalidRequest(detail, field="person")
        numbers = np.unique(labels, return_inverse=True)[1].astype(np.int64)
        return cls(unit_rows(wide, wide.shape[1]), numbers)

    @property
    def people(self) -> int:
        return int(self.persons.max()) + 1 if len(self.persons) else 0

    @cached_property
    def photos_of(self) -> list[Ints]:
        """Person → its rows."""
        order = np.argsort(self.persons, kind="stable")
        ends = np.cumsum(np.bincount(self.persons, minlength=self.people))
        return np.split(order, ends[:-1])

    def only(self, people: Ints) -> Labelled:
        """These people alone, with numbers of their own."""
        wanted = np.isin(self.persons, people)
        return Labelled.of(self.rows[wanted], self.persons[wanted])


def read_npz(path: Path) -> Labelled:
    """An archive with `embeddings` (n, d) and `person` (n,). Raises InvalidRequest naming what is wrong with it."""
    with path.open("rb") as stream:
        if not is_zipfile(stream):  # numpy would take it for a pickle, and say how to open that
            raise InvalidRequest(f"{path} is no npz file, or one that is cut off.", field="embeddings")
    try:
        with np.load(path) as archive:
            embeddings, person = archive["embeddings"], archive["person"]
        if embeddings.dtype.kind not in "fiu":
            raise ValueError(f"embeddings are {embeddings.dtype}, not real numbers")
    except (ValueError, TypeError, EOFError, BadZipFile) as error:
        # ValueError: arrays of Python objects, which are never unpickled; TypeError: one array alone, an .npy
        raise InvalidRequest(f"{path} is no archive of plain arrays ({error}).", field="embeddings") from None
    except KeyError as error:
        raise InvalidRequest(f"{path} lacks an array: {error.args[0]}", field="embeddings") from None
    return Labelled.of(embeddings, person)


@dataclass(frozen=True, eq=False)
class Compared:
    """Every pair of photos of some people, once."""

    strangers: Ints
    """(BINS,): pairs of different people by score; bin b holds the scores from -1 + b STEP on"""
    own: Floats
    """(g,): scores of the pairs of one person"""
    own_person: Ints
    """(g,): whose"""

    @cached_property
    def pairs(self) -> int:
        """Of different people."""
        return int(self.strangers.sum())

    @cached_property
    def at_least(self) -> Ints:
        """(BINS,): pairs of different people that score -1 + b STEP or more."""
        return np.cumsum(self.strangers[::-1])[::-1]

    def fmr(self, threshold: float) -> float:
        """Part of the pairs of different people that reach `threshold`, which is rounded to STEP."""
        return float(self.at_least[bin_of(threshold)] / max(self.pairs, 1))

    def fnmr(self, threshold: float) -> float:
        """Part of the pairs of one person that do not."""
        return float((self.own < threshold).mean()) if len(self.own) else float("nan")

    def score_at(self, fmr: float) -> float:
        """The lowest threshold, in STEPs, that at most the part `fmr` of the pairs of different people reach."""
        return score_of(int(np.argmax(self.at_least <= fmr * self.pairs)))


def compare(people: Labelled) -> Compared:
    """Count every pair of photos. Work grows with n², memory does not."""
    strangers = np.zeros(BINS, dtype=np.int64)
    own: list[Floats] = []
    whose: list[Ints] = []
    for first, scores, same, later in _blocks(people):
        strangers += np.bincount(bins(scores[later & ~same]), minlength=BINS)
        mine = later & same
        own.append(scores[mine].astype(np.float64))
        whose.append(people.persons[first + np.nonzero(mine)[0]])
    return Compared(strangers, np.concatenate([*own, []]), np.concatenate([*whose, np.zeros(0, dtype=np.int64)]))


@dataclass(frozen=True, eq=False)
class Tail:
    """Pairs of different people that score high, each with its two people."""

    scores: Floats
    one: Ints
    other: Ints


def tail(people: Labelled, floor: float) -> Tail:
    """The pairs of different people that score `floor` or more."""
    found: list[tuple[Floats, Ints, Ints]] = []
    for first, scores, same, later in _blocks(people):
        at, beside = np.nonzero(later & ~same & (scores >= np.float32(floor)))
        high = np.asarray(scores[at, beside], dtype=np.float64)
        found.append((high, people.persons[first + at], people.persons[first + beside]))
    return Tail(*(np.concatenate(column) for column in zip(*found, strict=True)))


def _blocks(people: Labelled) -> Iterator[tuple[int, Vectors, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]]:
    """(first, scores, same person, column after row) of rows first … against columns first …"""
    rows, persons = people.rows, people.persons
    for first in range(0, len(rows), BLOCK):
        block = slice(first, first + BLOCK)
        scores = rows[block] @ rows[first:].T
        same = persons[block, None] == persons[None, first:]
        yield first, scores, same, np.triu(np.ones(scores.shape, dtype=bool), 1)


def bins(scores: npt.NDArray[np.floating]) -> Ints:
    """The bin of each score; rounding may lift a cosine a little above 1."""
    found: Ints = np.clip(np.floor((scores.astype(np.float64) + 1) / STEP), 0, BINS - 1).astype(np.int64)
    return found


def bin_of(threshold: float) -> int:
    return min(max(round((threshold + 1) / STEP), 0), BINS - 1)


def score_of(number: int) -> float:
    return -1 + number * STEP
