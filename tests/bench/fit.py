"""`python -m tests.bench.fit FILE.npz`: fits the model of `faces.py` to real embeddings, and says how near it comes.

The file holds `embeddings` (n, d) and `person` (n,). Embeddings are scaled to unit length first, as Facegrid does.

    within    covariance about the person's mean, each person with n >= 2 photos counted once: sum / (n - 1)
    centres   a mixture of Gaussians with one common covariance, by EM, on one photo a person
    between   that common covariance without `within`; what would be negative is 0

No embedding of a person is kept: a centre is the mean of some forty people.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.bench.faces import FIT, Faces

CENTRES = 64
ROUNDS = 100
"""of EM; the figures do not change after about 50"""
NEAREST = 20
"""others that say how dense a row's surroundings are"""
SEED = 0
FIGURES = FIT.with_suffix(".json")

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Real:
    """`photos` (n, d) of unit length, `person` (n,) from 0 on without gaps."""

    photos: Matrix
    person: NDArray[np.intp]

    @property
    def counts(self) -> NDArray[np.intp]:
        return np.bincount(self.person)

    def singles(self) -> Matrix:
        """The first photo of each person."""
        return self.photos[np.unique(self.person, return_index=True)[1]]

    def pairs(self) -> Matrix:
        """Scores of the first two photos of everybody who has two."""
        order = np.argsort(self.person, kind="stable")
        first = np.concatenate([[0], np.cumsum(self.counts)[:-1]])[self.counts >= 2]
        one, two = self.photos[order[first]], self.photos[order[first + 1]]
        return np.asarray(np.einsum("nd,nd->n", one, two))


def read(file: Path) -> Real:
    with np.load(file) as held:
        photos = held["embeddings"].astype(np.float64)
        person = np.unique(held["person"], return_inverse=True)[1]
    return Real(photos / np.linalg.norm(photos, axis=1, keepdims=True), person.astype(np.intp))


def covariance_within(real: Real) -> Matrix:
    counts = real.counts
    means = np.zeros((len(counts), real.photos.shape[1]))
    np.add.at(means, real.person, real.photos)
    off = real.photos - (means / counts[:, None])[real.person]
    several = counts[real.person] >= 2
    weights = 1 / (counts[real.person][several] - 1)
    return np.asarray((off[several] * weights[:, None]).T @ off[several] / (counts >= 2).sum())


def mixture(rows: Matrix) -> tuple[Matrix, Matrix, Matrix]:
    """Weights (k,), centres (k, d) and the common covariance (d, d) of the rows."""
    dice, mean = np.random.default_rng(SEED), rows.mean(axis=0)
    total = (rows - mean).T @ (rows - mean) / len(rows)
    centres = rows[dice.choice(len(rows), CENTRES, replace=False)]
    weights, common = np.full(CENTRES, 1 / CENTRES), total / 2
    for _ in range(ROUNDS):
        inverse = np.linalg.inv(common)
        likely = np.log(weights) + rows @ inverse @ centres.T
        likely -= np.einsum("kd,de,ke->k", centres, inverse, centres) / 2
        shares = np.exp(likely - likely.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        sizes = shares.sum(axis=0) + 1e-3  # a centre that loses everybody falls back to the mean
        centres, weights = (shares.T @ rows + 1e-3 * mean) / sizes[:, None], sizes / sizes.sum()
        common = total - ((centres - mean) * weights[:, None]).T @ (centres - mean)
    return weights, centres, common


def root(covariance: Matrix) -> Matrix:
    """R with R @ R.T = the covariance, its negative directions left out."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(np.clip(values, 0, None)))


def fitted(real: Real) -> Faces:
    weights, centres, common = mixture(real.singles())
    within = covariance_within(real)
    narrow = (each.astype(np.float32) for each in (root(common - within), root(within)))
    return Faces(centres.astype(np.float32), weights, *narrow)


def quantiles(scores: Matrix, at: tuple[float, ...] = (0.1, 0.5, 0.9)) -> list[float]:
    return [round(float(value), 4) for value in np.quantile(scores, at)]


def strangers(singles: Matrix) -> dict[str, list[float]]:
    """How alike people are who are not the same: all pairs, and everybody's nearest other; and how hard they make it
    for an approximate index."""
    scores = singles @ singles.T
    pairs = scores[np.triu_indices(len(scores), 1)]
    np.fill_diagonal(scores, -1)
    return {
        "pairs of strangers at 0.1, 50, 99, 99.9, 99.99%": quantiles(pairs, (0.001, 0.5, 0.99, 0.999, 0.9999)),
        "nearest stranger at 10, 50, 90%": quantiles(scores.max(axis=1)),
        "local intrinsic dimension at 10, 50, 90%": quantiles(intrinsic_dimensions(scores)),
    }


def intrinsic_dimensions(scores: Matrix) -> Matrix:
    """Of the surroundings of each row, (n,), by its scores (n, n) with the others: how fast their number grows with the
    distance, which decides how many of them an index must look at. The maximum likelihood estimate from the `NEAREST`
    (Amsaleg and others, Estimating Local Intrinsic Dimensionality, KDD 2015)."""
    nearest = -np.sort(-scores, axis=1)[:, :NEAREST]
    distances = np.sqrt(2 - 2 * nearest)
    return np.asarray(-1 / np.log(distances / distances[:, -1:]).mean(axis=1))


def figures(real: Real, faces: Faces) -> dict[str, Any]:
    """The same figures of the real people and of as many generated ones."""
    people = faces.people(len(real.counts), seed=1)
    one, two = (faces.photos(people, seed).astype(np.float64) for seed in (2, 3))
    same = "photos of one person at 10, 50, 90%"
    return {
        "people": len(real.counts),
        "photos": len(real.photos),
        "centres": len(faces.centres),
        "trace between, common to the centres": round(float((faces.between**2).sum()), 5),
        "trace within": round(float((faces.within**2).sum()), 5),
        "real": strangers(real.singles()) | {same: quantiles(real.pairs())},
        "generated": strangers(one) | {same: quantiles(np.einsum("nd,nd->n", one, two))},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    real = read(parser.parse_args().file)
    faces = fitted(real)
    narrow = {"weights": faces.weights.astype(np.float32), "centres": faces.centres}
    np.savez(FIT, between=faces.between, within=faces.within, **narrow)  # type: ignore[arg-type]  # numpy's stub of **
    text = json.dumps(figures(real, Faces.load()), indent=2)
    FIGURES.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
