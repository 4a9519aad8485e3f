"""The words of the system (one name for one thing) as plain types without behaviour of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Vectors: TypeAlias = npt.NDArray[np.float32]
"""float32, C-contiguous, (n, d), rows of unit length unless a docstring says otherwise."""

DLIB_SPACE = "dlib-resnet-v1"
DLIB_DIMENSION = 128
"""The embedding space that is always there. Rows and probes of different spaces never meet."""


class Kind(StrEnum):
    VISITOR = "visitor"
    MEMBER = "member"
    STAFF = "staff"


KnownAs: TypeAlias = tuple[Kind, str | None]
"""Who a face is: its kind, and the member it is bound to. A visitor is bound to nobody."""
VISITOR: KnownAs = (Kind.VISITOR, None)


class Scope(StrEnum):
    STORE = "store"
    GROUP = "group"
    AUTO = "auto"


class Verdict(StrEnum):
    MATCH = "match"
    NO_MATCH = "no_match"
    INCONCLUSIVE = "inconclusive"


class Wait(StrEnum):
    """How long a write's caller waits: until Redis has it on disk, or until the next search sees it too."""

    COMMITTED = "committed"
    VISIBLE = "visible"


class ReplicaState(StrEnum):
    """Starts `loading`; `ready` once every store the map gives it is loaded; a new or moved store does not undo that.
    `draining` once its process was asked to end: it still answers, but those who have a choice ask another.

    loading ──► ready
       │          │
       └──────────┴──► draining
    """

    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"

    @property
    def rank(self) -> int:
        """In which order to ask replicas: those that have everything, those that have a part, those that leave."""
        match self:
            case ReplicaState.READY:
                return 0
            case ReplicaState.LOADING:
                return 1
            case ReplicaState.DRAINING:
                return 2


class Candidate(NamedTuple):
    store: str
    face_id: str
    score: float
    """Cosine of probe and gallery row, -1 to 1."""
    kind: Kind = Kind.VISITOR
    member_id: str | None = None
    photos: int = 1
    """behind the gallery row, each one of a track counted: a mean of many is held to a higher threshold"""


candidate_of: Callable[[Iterable[Any]], Candidate] = partial(tuple.__new__, Candidate)
"""of its columns: `Candidate` itself, or its `_make`, takes three times as long to make one"""


class StoreView(NamedTuple):
    """How far one replica has one store in memory: the feed version it has applied, and its number of rows."""

    version: int
    rows: int
