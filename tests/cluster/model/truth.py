"""The model: plain dicts of what was acknowledged, and what one numpy product says about it.

A face whose last operation was not answered has two possible states until somebody looks; None is "not there".
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from common.types import Vectors
from common.vectors import mean_row
from shard.gallery import face_digest

State = Vectors | None
"""(n, d) templates in order, or None: the face is not there"""


@dataclass(slots=True)
class Face:
    possible: list[State]
    visible: bool = True
    """the last change was acknowledged as visible, or everything was seen to have caught up since"""
    version: int = 0

    @property
    def certain(self) -> bool:
        return len(self.possible) == 1

    @property
    def templates(self) -> Vectors:
        """Of a face that is certainly there."""
        (state,) = self.possible
        assert state is not None
        return state

    @property
    def row(self) -> Vectors:
        return mean_row(self.templates)


@dataclass(slots=True)
class Truth:
    stores: dict[str, dict[str, Face]] = field(default_factory=dict)

    def faces(self, store: str, *, there: bool = True) -> list[str]:
        """The faces that are certainly there, or certainly not any more."""
        return [
            face_id
            for face_id, face in self.stores[store].items()
            if face.certain and (face.possible[0] is not None) == there
        ]

    def unsure(self) -> list[tuple[str, str]]:
        return [
            (store, face_id)
            for store, faces in self.stores.items()
            for face_id, face in faces.items()
            if not face.certain
        ]

    def digest(self, store: str) -> str:
        """What `Gallery.digest` of a replica that has it all must be; to the bit."""
        faces = self.stores[store]
        total = sum(face_digest(face_id, faces[face_id].row) for face_id in self.faces(store))
        return f"{total % 2**128:032x}"

    def best(self, probe: Vectors, top_k: int) -> list[tuple[str, str, float]]:
        """One numpy product over all rows: (store, face_id, score), ties ordered by (store, face_id)."""
        keys = [(store, face_id) for store in self.stores for face_id in self.faces(store)]
        rows = np.stack([self.stores[store][face_id].row for store, face_id in keys]).astype(np.float64)
        scores = (rows @ probe.astype(np.float64)).astype(np.float32)
        order = sorted(range(len(keys)), key=lambda at: (-scores[at], keys[at]))[:top_k]
        return [(*keys[at], float(scores[at])) for at in order]
