"""Invented people whose embeddings are spread as those of real ones: what the benchmarks search in and for.

How fast an approximate index is, and how often it is right, depends on how its rows lie. Random directions are far
too easy: nobody is nearer than anybody else, and no mean is shared. So the rows are drawn from a model fitted to the
dlib embeddings of LFW (`tests.bench.fit` makes `faces.npz` from them; `faces.json` says how near it comes):

    person = centre_k + N(0, between)        k with probability weight_k; what one face looks like
    photo  = person + N(0, within)           scaled to unit length; the mean of n photos has 1/n of that variance

One Gaussian (k = 1) puts the nearest stranger too far away: 0.922 instead of 0.930 among 2,739 people. 64 centres with
one covariance come to 0.928. Heavier tails instead of centres were rejected: they fit the median and miss both ends.
What is not modelled: real photos differ in quality, so the scores of one person's photos spread twice as far.

Every row is known by (seed, number): rows are drawn in blocks, each from a generator of its own, so that ten million
fit the memory and any of them can be drawn again without the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from common.types import Vectors

FIT = Path(__file__).with_name("faces.npz")
BLOCK = 1 << 16
"""rows drawn at a time: 32 MB of them"""
PERSON, PHOTO = 0, 1
"""what a generator draws, beside the seed and the number of the block"""
PHOTOS = 3
"""behind an enrolled row, and behind a probe of somebody known: then all of them are found at home. Of single photos,
half would be missed at the threshold of a thousand rows, and a routed search would mostly measure the fan-out."""


@dataclass(frozen=True, slots=True)
class Faces:
    """The fitted model. `between` and `within` are roots: R @ R.T is the covariance."""

    centres: Vectors
    """(k, d) float32"""
    weights: NDArray[np.float64]
    """(k,), sum 1"""
    between: Vectors
    """(d, d) float32"""
    within: Vectors
    """(d, d) float32"""

    @classmethod
    def load(cls, file: Path = FIT) -> Self:
        with np.load(file) as fit:
            weights = fit["weights"].astype(np.float64)
            return cls(fit["centres"], weights / weights.sum(), fit["between"], fit["within"])

    @property
    def dimension(self) -> int:
        return int(self.centres.shape[1])

    def people(self, count: int, seed: int) -> Vectors:
        """People as points, not of unit length: (count, d) float32. A larger count begins with the same people."""
        made = np.empty((count, self.dimension), dtype=np.float32)
        for block, here in _blocks(count):
            made[here] = self._people(seed, block)[: here.stop - here.start]
        return made

    def photos(self, people: Vectors, seed: int, of: int = 1) -> Vectors:
        """One embedding for each of the people, the unit-length mean of `of` photos: (n, d) float32."""
        made = np.empty_like(people)
        for block, here in _blocks(len(people)):
            made[here] = self._photos(people[here], [seed, block], of)
        return made

    def rows(self, count: int, seed: int, of: int = PHOTOS) -> Vectors:
        """Gallery rows of the first `count` people of the seed: (count, d) unit length float32."""
        made = np.empty((count, self.dimension), dtype=np.float32)
        at = 0
        for rows in self.blocks(count, seed, of):
            made[at : at + len(rows)] = rows
            at += len(rows)
        return made

    def blocks(self, count: int, seed: int, of: int = PHOTOS) -> Iterator[Vectors]:
        """The same rows, at most BLOCK at a time, for those who cannot hold them all."""
        for block, here in _blocks(count):
            yield self._photos(self._people(seed, block)[: here.stop - here.start], [seed, block], of)

    def enrolled(self, numbers: NDArray[np.intp], seed: int, of: int = PHOTOS) -> Vectors:
        """These rows of `rows(…, seed, of)`, without the others: (n, d)."""
        made = np.empty((len(numbers), self.dimension), dtype=np.float32)
        for block in np.unique(numbers // BLOCK):
            here = numbers // BLOCK == block
            made[here] = self._photos(self._people(seed, int(block)), [seed, int(block)], of)[numbers[here] % BLOCK]
        return made

    def known(self, numbers: NDArray[np.intp], seed: int, again: int, of: int = PHOTOS) -> Vectors:
        """New photos, drawn with the seed `again`, of the people with these numbers in `rows(…, seed)`: (n, d)."""
        people = np.empty((len(numbers), self.dimension), dtype=np.float32)
        for block in np.unique(numbers // BLOCK):
            here = numbers // BLOCK == block
            people[here] = self._people(seed, int(block))[numbers[here] % BLOCK]
        return self.photos(people, again, of)

    def strangers(self, count: int, seed: int) -> Vectors:
        """Single photos of people who are in no gallery made with another seed: (count, d) unit length."""
        return self.rows(count, seed, of=1)

    def _people(self, seed: int, block: int) -> Vectors:
        """A whole block, whatever is wanted of it."""
        dice = np.random.default_rng([seed, block, PERSON])
        chosen = dice.choice(len(self.weights), size=BLOCK, p=self.weights)
        made: Vectors = dice.standard_normal((BLOCK, self.dimension), dtype=np.float32) @ self.between.T
        made += self.centres[chosen]
        return made

    def _photos(self, people: Vectors, seed: Sequence[int], of: int) -> Vectors:
        dice = np.random.default_rng([*seed, PHOTO])
        made: Vectors = dice.standard_normal(people.shape, dtype=np.float32) @ (self.within.T / np.float32(np.sqrt(of)))
        made += people
        made /= np.linalg.norm(made, axis=1, keepdims=True)
        return made


def _blocks(count: int) -> Iterator[tuple[int, slice]]:
    for block in range(-(-count // BLOCK)):
        yield block, slice(block * BLOCK, min(count, (block + 1) * BLOCK))


def unit(seed: int, count: int, dimension: int = 128) -> Vectors:
    """Random directions, (count, dimension): for what does not depend on how faces lie."""
    rows = np.random.default_rng(seed).standard_normal((count, dimension), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows
