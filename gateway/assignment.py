"""Who is who in one picture: two faces in it are two persons, whatever each of them looks like by itself.

Faces take persons so that the sum of what they are above their thresholds is highest (the linear assignment problem);
a face whose person goes to another one takes its next candidate, or none. Deciding face by face instead would give the
first of two brothers the name that the second has more right to.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from scipy.optimize import linear_sum_assignment

Person = TypeVar("Person", bound=Hashable)

NOBODY = -2.0
"""less than anything above a threshold: a face goes without a person only where none is left for it"""


def assign(options: Sequence[Mapping[Person, float]]) -> list[Person | None]:
    """One person a face, or None; `options` are each face's candidates that match, with what they are above their
    thresholds."""
    best = [max(faces, key=faces.__getitem__) if faces else None for faces in options]
    taken = [person for person in best if person is not None]
    if len(set(taken)) == len(taken):
        return best
    persons = list(dict.fromkeys(person for faces in options for person in faces))
    scores = np.full((len(options), len(persons)), NOBODY)
    for row, faces in enumerate(options):
        for person, score in faces.items():
            scores[row, persons.index(person)] = score
    found: list[Person | None] = [None] * len(options)
    for row, column in zip(*linear_sum_assignment(scores, maximize=True), strict=True):
        if scores[row, column] > NOBODY:
            found[row] = persons[column]
    return found
