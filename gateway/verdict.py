"""What a search says of one probe, from the candidates and from what was looked at.

best >= its threshold among the rows searched → match, or, if somebody else is as near, inconclusive
below it, every store in scope answered       → no_match
below it, something is missing                → inconclusive
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import Literal, NamedTuple

from common.cluster_map import StoreConfig
from common.types import Candidate, Scope, Verdict
from gateway.coverage import Coverage
from gateway.cut import Cut

Mode = Literal["home", "fan_out"]
LEAST_NAMED = 5
"""candidates asked of the shards, whatever the caller wants to see: the best by score need not be the best by what is
above its threshold"""
LEAST_WITH_MARGIN = 20
"""where the next other person must be known: a member has a face at each of many stores"""


class Why(StrEnum):
    """Why an answer is inconclusive."""

    AMBIGUOUS = "AMBIGUOUS"
    """somebody matches, and somebody else nearly as well"""
    NOT_COVERED = "NOT_COVERED"
    """nobody matches, and not every store in scope was searched"""


class Asked(NamedTuple):
    """How to search: how many candidates, where, exactly or not, a threshold that overrides all others, the version
    of the home store that must be seen, how many photos each probe is the mean of, and whether the home store's margin
    counts."""

    top_k: int = 5
    scope: Scope = Scope.AUTO
    exact: bool = False
    threshold: float | None = None
    min_version: int | None = None
    photos: int = 1
    with_margin: bool = True


class Identified(NamedTuple):
    """The answer about one probe."""

    verdict: Verdict
    candidates: tuple[Candidate, ...]
    """best first: the farthest above its threshold, or the least below"""
    cut: Cut
    coverage: Coverage
    mode: Mode
    home_cut: Cut | None = None
    """for the home store's gallery alone, where it was searched first and the search went on"""
    lead: float = math.inf
    """of a match: how far the next other person is behind"""

    @property
    def at_home(self) -> Identified:
        """With the thresholds that faces of the home store were held to."""
        return self if self.home_cut is None else self._replace(cut=self.home_cut)

    @property
    def threshold(self) -> float:
        """What the best candidate must reach; where there is none, a face with one template."""
        return self.cut.of(self.candidates[0] if self.candidates else None)

    @property
    def why(self) -> Why | None:
        """Of an inconclusive answer."""
        if self.verdict is not Verdict.INCONCLUSIVE:
            return None
        return Why.AMBIGUOUS if is_match(self.candidates, self.cut) else Why.NOT_COVERED

    @property
    def member_id(self) -> str | None:
        """The member that the matching face is bound to; None without a match."""
        return self.candidates[0].member_id if self.verdict is Verdict.MATCH else None


def is_match(candidates: Sequence[Candidate], cut: Cut) -> bool:
    """`candidates` best first."""
    return bool(candidates) and cut.excess(candidates[0]) >= 0


def verdict(candidates: Sequence[Candidate], cut: Cut, coverage: Coverage, *, ambiguous: bool = False) -> Verdict:
    """`candidates` best first; `ambiguous`: the next other person is as near as the best of them."""
    if is_match(candidates, cut):
        return Verdict.INCONCLUSIVE if ambiguous else Verdict.MATCH
    return Verdict.NO_MATCH if coverage.full else Verdict.INCONCLUSIVE


def lead(candidates: Sequence[Candidate], cut: Cut, named: int) -> float:
    """How far the next other person is behind the best of the `candidates`, best first, of which up to `named` were
    asked for; infinite if there is none. Faces of one member are one person: where all are that one's, somebody who
    was not named may be behind with the lowest of their scores."""
    best, *others = candidates
    for one in others:
        if best.member_id is None or one.member_id != best.member_id:
            return cut.excess(best) - cut.excess(one)
    if len(candidates) < named:
        return math.inf
    return cut.excess(best) - (min(one.score for one in candidates) - cut.of(None))


def margin_of(home: StoreConfig, asked: Asked) -> float | None:
    return home.margin if asked.with_margin else None


def named(home: StoreConfig, asked: Asked) -> int:
    """How many candidates to ask for."""
    return max(asked.top_k, LEAST_NAMED if margin_of(home, asked) is None else LEAST_WITH_MARGIN)
