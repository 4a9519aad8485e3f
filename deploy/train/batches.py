"""Which photos a batch holds: P people × K photos each, so that it has pairs of one person to make triplets of.

A function of labels and a random generator alone. Everybody comes up equally often, however many photos there are of
them; a person with fewer than K photos brings all of them: a photo twice would be a pair that teaches nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Indices: TypeAlias = npt.NDArray[np.int64]


def batch_count(photos: int, people_each: int, photos_each: int) -> int:
    """Batches of an epoch: as many as it takes to show as many faces as there are photos."""
    return -(-photos // (people_each * photos_each))


def epoch(people: Indices, people_each: int, photos_each: int, random: np.random.Generator) -> Iterator[Indices]:
    """Batches of indices into `people`, the (n,) label of every photo; each person of at least two photos.

    A batch has `people_each` different people, or all there are.
    """
    photos_of = [np.flatnonzero(people == person) for person in np.unique(people)]
    people_each = min(people_each, len(photos_of))
    waiting: list[int] = []
    for _ in range(batch_count(len(people), people_each, photos_each)):
        if len(waiting) < people_each:
            rest = set(waiting)
            waiting += [int(at) for at in random.permutation(len(photos_of)) if at not in rest]
        chosen, waiting = waiting[:people_each], waiting[people_each:]
        yield np.concatenate([random.permutation(photos_of[at])[:photos_each] for at in chosen])
