"""What the encoder allows: the same traffic recognised by the same rules in one numpy process, without a cluster.

A report can be no better than this (but for the templates that returning visitors add to their faces, which is left out
here), so what is missing in it is the encoder's and the thresholds' doing, and the rest the cluster's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import mean

import numpy as np
import numpy.typing as npt

from common.settings import GatewaySettings
from common.types import DLIB_SPACE, Vectors
from common.vectors import mean_row, unit_rows
from gateway.fmr import threshold
from gateway.spaces import Spaces
from tests.footfall.traffic import D, Sighting, Staff, photos_a_visit, tracks_of

CURVE = Spaces.load("").of(DLIB_SPACE).curve
FPIR: float = GatewaySettings.model_fields["target_fpir"].default


def probe_of(photos: Vectors) -> Vectors:
    """(128,) unit length."""
    return mean_row(unit_rows(photos, D))


def cut_among(rows: int, templates: int = 1, photos: int = 1) -> float:
    return threshold(CURVE, rows, FPIR, templates, photos)


class Recogniser:
    """All faces of a chain: the best at home if it is good enough there, else the best anywhere, else a new face."""

    def __init__(self, size: int, staff: Sequence[Staff] = ()) -> None:
        self._rows: Vectors = np.zeros((size, D), dtype=np.float32)
        self._photos = np.ones(size, dtype=np.int64)
        self._stores: list[str] = []
        for one in staff:
            self._enrol(one.store, one.photos)

    def see(self, store: str, photos: Vectors) -> int:
        """The number of the face that they are taken for."""
        scores = self._rows[: len(self._stores)] @ probe_of(photos)
        at_home = np.flatnonzero(np.array(self._stores, dtype=object) == store)
        for among in (at_home, np.arange(len(scores))):
            excess = scores[among] - self._cuts(among, len(photos))
            if len(among) and excess.max() >= 0:
                return int(among[excess.argmax()])
        return self._enrol(store, photos)

    def _cuts(self, among: npt.NDArray[np.int64], photos: int) -> npt.NDArray[np.float64]:
        kinds, kind = np.unique(self._photos[among], return_inverse=True)
        cuts = np.array([cut_among(len(among), templates, photos) for templates in kinds.tolist()])
        return cuts[kind]

    def _enrol(self, store: str, photos: Vectors) -> int:
        self._rows[len(self._stores)] = probe_of(photos)
        self._photos[len(self._stores)] = len(photos)
        self._stores.append(store)
        return len(self._stores) - 1


def faces_of(sightings: Sequence[Sighting], staff: Sequence[Staff]) -> list[int]:
    """The face that each sighting is taken for, one after another."""
    recogniser = Recogniser(len(sightings) + len(staff), staff)
    return [recogniser.see(sighting.store, sighting.photos) for sighting in sightings]


def told_apart(people: Mapping[str, Vectors], alike: float, apart: float) -> dict[str, Vectors]:
    """Of these people, in their order, those whom no threshold from `apart` to `alike` confuses: all tracks of one
    score `alike` or more with each other, less than `apart` with anybody before, also with the mean of their tracks."""
    kept: dict[str, Vectors] = {}
    rows = np.zeros((0, D), dtype=np.float32)
    for person, photos in people.items():
        probes = np.stack([probe_of(track) for track in tracks_of(photos)])
        probes = np.concatenate([probes, mean_row(probes)[None]])
        if (probes @ probes.T).min() >= alike and (rows @ probes.T).max(initial=-1) < apart:
            kept[person], rows = photos, np.concatenate([rows, probes])
    return kept


def missed(people: Mapping[str, Vectors], size: int, rows: int) -> float:
    """FNMR: the share of two tracks of one person that score below the threshold among `rows` rows; over the people
    whose visits are tracks of `size` photos, each person alike."""
    cut = cut_among(rows, size, size)
    shares = []
    for photos in people.values():
        if photos_a_visit(len(photos)) == size and len(tracks := tracks_of(photos)) > 1:
            probes = [probe_of(track) for track in tracks]
            shares.append(mean(float(one @ other) < cut for one, other in combinations(probes, 2)))
    return mean(shares)
