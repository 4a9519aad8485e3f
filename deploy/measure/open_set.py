"""Open-set identification: some people are enrolled, others never were, and a probe may show either (ISO/IEC 19795-1).

FPIR: part of the strangers' probes that match somebody. TPIR (here also "found"): part of the enrolled people's
probes whose own face is the best candidate and matches; FNIR = 1 - TPIR. Rank-1: own face best, matched or not.

Two ways of telling a match are measured on the same draws:

facegrid   unit-length means of the enrolled and of the probe's photos; each face has the threshold of its number of
           templates and of the gallery's size, and the best is the one that is highest above its own
tutorial   raw embeddings, Euclidean distance, nearest template of any photo, one cut-off (0.6) whatever the size

A draw takes a third of those with enough photos for a probe as strangers (fewer where the gallery needs them), and
enrols the others, those with the most photos first. A face with fewer than k photos is enrolled with those it has; only
people with k + m photos are probed, because the photos of a probe are never enrolled.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from common.errors import InvalidRequest
from common.types import Vectors
from deploy.measure.curve import mean_rows
from deploy.measure.labelled import Floats, Ints, Labelled
from gateway.fmr import FmrCurve, threshold

TUTORIAL_CUT_OFF = 0.6
STRANGERS = 1 / 3


@dataclass(frozen=True, slots=True)
class Protocol:
    enrol: int
    """photos of a face, k"""
    probe: int
    """photos of a probe, m"""
    gallery: int
    """faces, N"""


@dataclass(frozen=True, eq=False)
class Draw:
    """Rows of a `Labelled`, by face and by probe."""

    enrolled: list[Ints]
    probes: list[Ints]
    own: Ints
    """(probes,): the face that each shows"""
    strangers: list[Ints]


def draw(people: Labelled, protocol: Protocol, chance: np.random.Generator) -> Draw:
    """Choose who is enrolled, who is a stranger, and with which photos.

    Raises InvalidRequest where the people are too few for the gallery and one stranger.
    """
    k, m, size = protocol.enrol, protocol.probe, protocol.gallery
    photos = [chance.permutation(rows) for rows in people.photos_of]
    able = chance.permutation([p for p, rows in enumerate(photos) if len(rows) >= m])
    outside = min(round(len(able) * STRANGERS), people.people - size)
    if outside < 1:
        detail = f"A gallery of {size} and a stranger with {m} photos need more than these {people.people} people."
        raise InvalidRequest(detail, field="gallery", limit=people.people)
    strangers = set(able[:outside].tolist())
    others = [p for p in chance.permutation(people.people).tolist() if p not in strangers]
    faces = sorted(others, key=lambda p: -min(len(photos[p]), k + m))[:size]  # stable: chance orders equals
    probed = [at for at, p in enumerate(faces) if len(photos[p]) >= k + m]
    return Draw(
        enrolled=[photos[p][:k] for p in faces],
        probes=[photos[faces[at]][k : k + m] for at in probed],
        own=np.array(probed, dtype=np.int64),
        strangers=[photos[p][:m] for p in strangers],
    )


@dataclass(slots=True)
class Outcome:
    """Of one draw, under one way of telling: how far above its threshold each probe's best candidate is."""

    own_first: npt.NDArray[np.bool_]
    """(probes,): the best candidate is the right person"""
    own_margin: Floats
    """(probes,): of the best candidate, whoever it is"""
    stranger_margin: Floats
    """(strangers,)"""

    def fpir(self, offset: float = 0.0) -> float:
        """Part of the strangers that match, with all thresholds raised by `offset`."""
        return float((self.stranger_margin >= offset).mean())

    def tpir(self, offset: float = 0.0) -> float:
        return float((self.own_first & (self.own_margin >= offset)).mean()) if len(self.own_first) else float("nan")

    @property
    def rank_1(self) -> float:
        return float(self.own_first.mean()) if len(self.own_first) else float("nan")


def by_facegrid(people: Labelled, drawn: Draw, curve: FmrCurve, target_fpir: float) -> Outcome:
    """The product's own rule: `gateway.fmr.threshold` for every face."""
    size = len(drawn.enrolled)
    gallery = mean_rows(people, drawn.enrolled)

    def margins(probes: Sequence[Ints]) -> Floats:
        photos = len(probes[0]) if probes else 1
        limits = [threshold(curve, size, target_fpir, len(rows), photos) for rows in drawn.enrolled]
        return np.asarray(_means(people, probes) @ gallery.T - np.array(limits), dtype=np.float64)

    return _outcome(margins(drawn.probes), margins(drawn.strangers), drawn.own)


def by_tutorial(raw: Floats, drawn: Draw) -> Outcome:
    """`raw` (n, d): embeddings as the encoder gave them, not of unit length."""
    templates = np.concatenate(drawn.enrolled)
    starts = np.cumsum([0, *map(len, drawn.enrolled)])[:-1]

    def margins(probes: Sequence[Ints]) -> Floats:
        if not probes:
            return np.zeros((0, len(starts)))
        sides = np.stack([distances(raw[list(rows)], raw[templates]) for rows in zip(*probes, strict=True)])
        return np.asarray(TUTORIAL_CUT_OFF - np.minimum.reduceat(sides.min(axis=0), starts, axis=1), dtype=np.float64)

    return _outcome(margins(drawn.probes), margins(drawn.strangers), drawn.own)


def distances(one: Floats, other: Floats) -> Floats:
    """(n, m) Euclidean distances."""
    squares = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1)[None] - 2 * one @ other.T
    return np.asarray(np.sqrt(np.maximum(squares, 0)), dtype=np.float64)


def _means(people: Labelled, probes: Sequence[Ints]) -> Vectors:
    return mean_rows(people, probes) if probes else np.zeros((0, people.rows.shape[1]), dtype=np.float32)


def _outcome(own: Floats, strangers: Floats, faces: Ints) -> Outcome:
    """From margins (probes, faces) of both kinds of probe."""
    return Outcome(own.argmax(axis=1) == faces, own.max(axis=1), strangers.max(axis=1))


@dataclass(frozen=True, slots=True)
class Rate:
    """A part of 1, over draws."""

    mean: float
    low: float
    high: float
    """the middle 95% of the draws: how far one such set of people differs from another"""

    @classmethod
    def of(cls, values: Sequence[float]) -> Rate:
        low, high = np.nanquantile(values, (0.025, 0.975))
        return cls(float(np.nanmean(values)), float(low), float(high))


@dataclass(slots=True)
class Measured:
    """Draws of one protocol, told in one way."""

    outcomes: list[Outcome] = field(default_factory=list)

    def fpir(self) -> Rate:
        return Rate.of([outcome.fpir() for outcome in self.outcomes])

    def tpir(self) -> Rate:
        return Rate.of([outcome.tpir() for outcome in self.outcomes])

    def tpir_at(self, fpir: float) -> Rate:
        """With all thresholds shifted alike, so that just this part of all draws' strangers match."""
        margins = np.concatenate([outcome.stranger_margin for outcome in self.outcomes])
        offset = float(np.quantile(margins, 1 - fpir))
        return Rate.of([outcome.tpir(offset) for outcome in self.outcomes])

    def rank_1(self) -> Rate:
        return Rate.of([outcome.rank_1 for outcome in self.outcomes])

    @property
    def probes(self) -> int:
        """Searches for somebody enrolled, over all draws."""
        return sum(len(outcome.own_first) for outcome in self.outcomes)

    @property
    def strangers(self) -> int:
        return sum(len(outcome.stranger_margin) for outcome in self.outcomes)


def templates_of(draws: Iterable[Draw], most: int) -> list[float]:
    """How many faces of a gallery have 1, 2, … `most` templates, on average."""
    counts = [np.bincount([len(rows) for rows in drawn.enrolled], minlength=most + 1)[1:] for drawn in draws]
    return [float(count) for count in np.mean(counts, axis=0)]
