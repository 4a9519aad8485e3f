"""What score a candidate must reach to be a match: by how many rows were searched, how many photos are behind its
gallery row, and how many behind the probe. A threshold that somebody fixed holds for all alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from common.types import Candidate
from gateway.fmr import FmrCurve, fmr_needed, threshold


@dataclass(frozen=True)
class Cut:
    curve: FmrCurve
    rows: int
    """searched"""
    target_fpir: float
    photos: int = 1
    """behind the probe"""
    fixed: float | None = None
    """instead of all that"""
    floor: float = -1.0
    """a store's own threshold was chosen for its own gallery: beyond it, it makes the cut only stricter"""
    _known: dict[int, float] = field(default_factory=dict, init=False, repr=False, compare=False)
    """photos behind a gallery row → the score it must reach"""

    @cached_property
    def measured(self) -> bool:
        """Whether the FMR that it takes was measured, and not extrapolated."""
        return self.fixed is not None or self.curve.supports(fmr_needed(self.rows, self.target_fpir))

    @property
    def least(self) -> float:
        """No candidate of any probe needs less."""
        return self._at(1, 1)

    def of(self, candidate: Candidate | None) -> float:
        """The score that the candidate must reach; None: that a face with one template would have to."""
        return self.reach(1 if candidate is None else candidate.photos)

    def reach(self, photos: int) -> float:
        """The score that a gallery row with so many photos behind it must reach."""
        known = self._known.get(photos)
        if known is None:
            known = self._known[photos] = self._at(photos, self.photos)
        return known

    def excess(self, candidate: Candidate) -> float:
        """How far its score is above what it must reach; below 0: it is no match."""
        return candidate.score - self.reach(candidate.photos)

    def best_first(self, candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
        """By how far they are above their thresholds; those of equally many photos by score. `candidates` by score."""
        if len({one.photos for one in candidates}) <= 1:
            return tuple(candidates)
        return tuple(sorted(candidates, key=lambda one: (-self.excess(one), one.store, one.face_id)))

    def _at(self, enrolled: int, searched: int) -> float:
        if self.fixed is not None:
            return self.fixed
        return max(self.floor, threshold(self.curve, self.rows, self.target_fpir, enrolled, searched))


# Galleries are searched far more often than they grow, and a cut knows what it worked out. Typed: a floor of 1 is told
# as 1, and one of 1.0 as 1.0.
@lru_cache(maxsize=16_384, typed=True)
def cut_of(curve: FmrCurve, rows: int, target_fpir: float, photos: int, floor: float) -> Cut:
    return Cut(curve, rows, target_fpir, photos, floor=floor)
