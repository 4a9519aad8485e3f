"""What the encoder allows: the same traffic recognised by the same rules in one numpy process, without a cluster.

A report can be no better than this (but for the templates that returning visitors add to their faces, which is left out
here), so what is missing in it is the encoder's and the thresholds' doing, and the rest the cluster's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import mean

import numpy as np

from common.settings import GatewaySettings
from common.types import DLIB_SPACE, Vectors
from common.vectors import mean_row, unit_rows
from gateway.threshold import threshold
from tests.footfall.traffic import D, Sighting, Staff, photos_a_visit, tracks_of

FPIR: float = GatewaySettings.model_fields["target_fpir"].default


def probe_of(photos: Vectors) -> Vectors:
    """(128,) unit length."""
    return mean_row(unit_rows(photos, D))


def cut_among(rows: int) -> float:
    return threshold(DLIB_SPACE, rows, FPIR)


class Recogniser:
    """All faces of a chain: the best at home if it is good enough there, else the best anywhere, else a new face."""

    def __init__(self, size: int, staff: Sequence[Staff] = ()) -> None:
        self._rows: Vectors = np.zeros((size, D), dtype=np.float32)
        self._stores: list[str] = []
        self._faces: list[str] = []
        for one in staff:
            self._enrol(one.store, probe_of(one.photos))

    def see(self, store: str, probe: Vectors) -> int:
        """The number of the face that it is taken for."""
        scores = self._rows[: len(self._stores)] @ probe
        at_home = np.flatnonzero(np.array(self._stores, dtype=object) == store)
        if len(at_home) and scores[best := at_home[scores[at_home].argmax()]] >= cut_among(len(at_home)):
            return int(best)
        if len(scores) and scores.max() >= cut_among(len(scores)):
            return int(scores.argmax())
        return self._enrol(store, probe)

    def _enrol(self, store: str, probe: Vectors) -> int:
        self._rows[len(self._stores)] = probe
        self._stores.append(store)
        return len(self._stores) - 1


def faces_of(sightings: Sequence[Sighting], staff: Sequence[Staff]) -> list[int]:
    """The face that each sighting is taken for, one after another."""
    recogniser = Recogniser(len(sightings) + len(staff), staff)
    return [recogniser.see(sighting.store, probe_of(sighting.photos)) for sighting in sightings]


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


def missed(people: Mapping[str, Vectors], size: int, cut: float) -> float:
    """FNMR: the share of two tracks of one person that score below `cut`; over the people whose visits are tracks of
    `size` photos, each person alike."""
    shares = []
    for photos in people.values():
        if photos_a_visit(len(photos)) == size and len(tracks := tracks_of(photos)) > 1:
            probes = [probe_of(track) for track in tracks]
            shares.append(mean(float(one @ other) < cut for one, other in combinations(probes, 2)))
    return mean(shares)
