"""Embeddings made up like dlib's: all faces have much in common, a person something, a photo something of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deploy.measure.labelled import Floats, Labelled

COMMON, OF_PERSON, OF_PHOTO = 0.83, 0.12, 0.05
"""parts of the squared length: strangers score about 0.83, two photos of one person about 0.95"""
DIMENSION = 48
SCALE = 1.4
"""length of the raw embeddings, like dlib's"""


def raw(photos: Sequence[int], seed: int = 0, of_photo: float = OF_PHOTO) -> tuple[Floats, Floats]:
    """(n, DIMENSION) raw embeddings and (n,) persons: so many photos of each."""
    chance = np.random.default_rng(seed)
    persons = np.repeat(np.arange(len(photos)), photos)
    common = _directions(np.random.default_rng(99), 1)
    own, noise = _directions(chance, len(photos)), _directions(chance, len(persons))
    rows = np.sqrt(COMMON) * common + np.sqrt(OF_PERSON) * own[persons] + np.sqrt(of_photo) * noise
    return SCALE * rows, persons.astype(np.float64)


def _directions(chance: np.random.Generator, count: int) -> Floats:
    """Of length about 1; the lengths differ, so that scores have tails."""
    return np.asarray(chance.standard_normal((count, DIMENSION)) / np.sqrt(DIMENSION), dtype=np.float64)


def people(photos: Sequence[int], seed: int = 0, of_photo: float = OF_PHOTO) -> Labelled:
    return Labelled.of(*raw(photos, seed, of_photo))
