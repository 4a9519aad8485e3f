"""Who trains and who validates, and how well the ones that never trained are told apart. Functions of arrays alone.

**Split by person.** The people are dealt by the recipe's seed; whoever validates is never trained on, because an
encoder serves people that it has not seen. Nothing is chosen by the validation's figures (the last epoch is exported,
not the best), so they are what the next people will find, up to chance.

**Figures**, as on LFW. TAR@FAR: part of all pairs of one person that score above what the part FAR of all pairs of
different people reaches. Accuracy: ten folds of as many pairs of one person as of two, the threshold of each the best
of the nine others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from common.errors import CannotTrain
from common.types import Vectors
from deploy.measure.labelled import Labelled, compare
from deploy.measure.lfw_pairs import judge

Ints: TypeAlias = npt.NDArray[np.int64]
FOLDS = 10
FARS = (1e-1, 1e-2, 1e-3, 1e-4)
LEAST_PAIRS = 10
"""of different people behind a FAR"""
MOST_PAIRS = 3000
"""of each kind for the accuracy, as many as LFW's"""
MOST_PHOTOS = 4000
"""compared after each epoch; the FMR curve is made of all"""
LEAST_TRAINED = 8
LEAST_STRANGERS = 178
"""pairs of different people that validate: an FMR curve has two points at least, the lower one at 1e-1.25"""


@dataclass(frozen=True, slots=True)
class Split:
    """Indices of photos, rising; everybody in either has two photos or more."""

    train: Ints
    validation: Ints
    single: int
    """people with one photo: of no use for triplets"""


@dataclass(frozen=True, slots=True)
class Validation:
    accuracy: float
    tar: dict[float, float]
    """by FAR, as far as the pairs allow"""
    same: int
    """pairs of one person"""
    different: int


def split(people: Ints, hold_out: float, seed: int) -> Split:
    """Deal (n,) people into two parts. Raises CannotTrain if one would be too small, and says what it needs."""
    everybody, counts = np.unique(people, return_counts=True)
    several = np.random.default_rng(seed).permutation(everybody[counts > 1])
    held = round(hold_out * len(several))
    validation = np.flatnonzero(np.isin(people, several[:held]))
    train = np.flatnonzero(np.isin(people, several[held:]))
    if len(several) - held < LEAST_TRAINED:
        raise CannotTrain(
            f"{len(several) - held} people to train on have two photos with a face or more; {LEAST_TRAINED} are "
            "needed, and thousands for an encoder that recognises others.",
            field="people",
            limit=LEAST_TRAINED,
        )
    strangers = _different(people[validation])
    if strangers < LEAST_STRANGERS:
        raise CannotTrain(
            f"The {held} people held out make {strangers} pairs of different people; the thresholds need "
            f"{LEAST_STRANGERS}. Bring more people, or hold out more.",
            field="hold_out",
            limit=LEAST_STRANGERS,
        )
    return Split(train, validation, int((counts == 1).sum()))


def _different(people: Ints) -> int:
    counts = np.unique(people, return_counts=True)[1]
    return int((len(people) ** 2 - (counts**2).sum()) // 2)


def validate(rows: Vectors, people: Ints) -> Validation:
    """Figures of (n, d) unit rows of (n,) people, sorted by person; only the first MOST_PHOTOS count."""
    rows, people = rows[:MOST_PHOTOS], people[:MOST_PHOTOS]
    compared = compare(Labelled.of(rows, people))
    fars = [far for far in FARS if far * compared.pairs >= LEAST_PAIRS]
    tar = {far: 1 - compared.fnmr(compared.score_at(far)) for far in fars}
    return Validation(_accuracy(rows, people), tar, len(compared.own), compared.pairs)


def _accuracy(rows: Vectors, people: Ints) -> float:
    """Of the same pairs whenever the people are the same."""
    random = np.random.default_rng(0)
    one, other = np.triu_indices(len(people), 1)
    same = people[one] == people[other]
    count = min(int(same.sum()), int((~same).sum()), MOST_PAIRS)
    chosen = [random.choice(np.flatnonzero(kind), count, replace=False) for kind in (same, ~same)]
    pairs = np.concatenate(chosen)
    scores = np.einsum("nd,nd->n", rows[one[pairs]], rows[other[pairs]]).astype(np.float64)
    return judge(scores, same[pairs], np.concatenate([np.arange(count) % FOLDS] * 2)).accuracy
