"""Identify (1:N): who is this? Home first, then everywhere, and never a claim about what was not looked at.

              best >= its threshold among the rows searched → match, or, if somebody else is as near, inconclusive
              below it, every store in scope answered       → no_match
              below it, something is missing                → inconclusive

A store's own gallery is small, so its thresholds are lower and its answer both faster and more precise; only the probes
that miss there go on to the other stores of the group, under the stricter thresholds for that many rows (`cut`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Literal

import numpy as np

from common.cluster_map import StoreConfig
from common.errors import NothingSearched
from common.types import Candidate, Scope, Vectors, Verdict
from gateway.coverage import Coverage
from gateway.cut import Cut
from gateway.deadline import Deadline
from gateway.replica_set import Question
from gateway.router import Found, Router, merge
from gateway.spaces import Spaces
from gateway.view import ClusterView

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


@dataclass(frozen=True, slots=True)
class Asked:
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


@dataclass(frozen=True, slots=True)
class Identified:
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
        return self if self.home_cut is None else replace(self, cut=self.home_cut)

    @property
    def threshold(self) -> float:
        """What the best candidate must reach; where there is none, a face with one template."""
        return self.cut.of(next(iter(self.candidates), None))

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


@dataclass(slots=True)
class Timing:
    home_ms: float = 0.0
    fan_out_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Identification:
    results: tuple[Identified, ...]
    timing: Timing = field(default_factory=Timing)


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


class Identifier:
    def __init__(self, view: ClusterView, router: Router, spaces: Spaces, target_fpir: float) -> None:
        self._view = view
        self._router = router
        self._spaces = spaces
        self._target_fpir = target_fpir

    async def identify(self, home: StoreConfig, probes: Vectors, asked: Asked, deadline: Deadline) -> Identification:
        """One answer a probe; `probes` is (n, d) of unit length. Raises NothingSearched if no shard answered at all,
        StaleReplica if home cannot be searched at `min_version`, EncoderMissing for a space unknown here."""
        timing = Timing()
        question = Question(home.space, probes, _named(home, asked), asked.exact)
        if asked.scope is Scope.GROUP and asked.min_version is None:
            everywhere = await self._elsewhere(self._view.group_of(home), question, deadline, timing)
            return Identification(self._answers(home, everywhere, asked, "fan_out"), timing)

        at_home = await self._at_home(home, question, asked, deadline, timing)
        results = list(self._answers(home, at_home, asked, "home", may_be_empty=asked.scope is not Scope.STORE))
        goes_on = [at for at, result in enumerate(results) if _goes_on(result, asked)]
        if not goes_on:
            return Identification(tuple(results), timing)
        others = [config for config in self._view.group_of(home) if config.store != home.store]
        if not others:
            mode: Mode = "fan_out" if asked.scope is Scope.GROUP else "home"
            return Identification(self._answers(home, at_home, asked, mode), timing)

        again = replace(question, probes=np.ascontiguousarray(probes[goes_on]))
        elsewhere = await self._elsewhere(others, again, deadline, timing)
        both = _together([at_home.candidates[at] for at in goes_on], at_home.coverage, elsewhere, question.top_k)
        for at, result in zip(goes_on, self._answers(home, both, asked, "fan_out"), strict=True):
            results[at] = replace(result, home_cut=results[at].cut)
        return Identification(tuple(results), timing)

    async def _at_home(
        self, home: StoreConfig, question: Question, asked: Asked, deadline: Deadline, timing: Timing
    ) -> Found:
        started = time.perf_counter()
        if asked.min_version is None:
            found = await self._router.search([home], question, deadline)
        else:
            found = await self._router.search_at(home, asked.min_version, question, deadline)
        timing.home_ms = _ms_since(started)
        return found

    async def _elsewhere(
        self, stores: Sequence[StoreConfig], question: Question, deadline: Deadline, timing: Timing
    ) -> Found:
        started = time.perf_counter()
        found = await self._router.search(stores, question, deadline)
        timing.fan_out_ms = _ms_since(started)
        return found

    def _answers(
        self, home: StoreConfig, found: Found, asked: Asked, mode: Mode, *, may_be_empty: bool = False
    ) -> tuple[Identified, ...]:
        coverage = found.coverage
        if not coverage.searched and not may_be_empty:
            raise NothingSearched("No shard answered the search.", coverage=coverage.report())
        cut = self._cut(home, asked, mode, coverage.rows)
        named, margin = _named(home, asked), _margin(home, asked)
        answers = []
        for candidates in map(cut.best_first, found.candidates):
            ahead = lead(candidates, cut, named) if is_match(candidates, cut) else math.inf
            said = verdict(candidates, cut, coverage, ambiguous=margin is not None and ahead < margin)
            answers.append(Identified(said, candidates[: asked.top_k], cut, coverage, mode, lead=ahead))
        return tuple(answers)

    def _cut(self, home: StoreConfig, asked: Asked, mode: Mode, rows: int) -> Cut:
        target = self._target_fpir if home.target_fpir is None else home.target_fpir
        cut = Cut(self._spaces.of_store(home).curve, rows, target, asked.photos, asked.threshold)
        if asked.threshold is not None or home.threshold is None:
            return cut
        return replace(cut, fixed=home.threshold) if mode == "home" else replace(cut, floor=home.threshold)


def _margin(home: StoreConfig, asked: Asked) -> float | None:
    return home.margin if asked.with_margin else None


def _named(home: StoreConfig, asked: Asked) -> int:
    """How many candidates to ask for."""
    return max(asked.top_k, LEAST_NAMED if _margin(home, asked) is None else LEAST_WITH_MARGIN)


def _goes_on(at_home: Identified, asked: Asked) -> bool:
    """Whether the other stores are searched for this probe too. Two of this store that cannot be told apart stay so."""
    known_here = at_home.verdict is Verdict.MATCH or at_home.why is Why.AMBIGUOUS
    return asked.scope is Scope.GROUP or (asked.scope is Scope.AUTO and not known_here)


def _together(at_home: Sequence[Sequence[Candidate]], covered: Coverage, elsewhere: Found, top_k: int) -> Found:
    """Both searches as one: what home gave for each probe that went on, and what the other stores gave."""
    candidates = tuple(merge(both, top_k) for both in zip(at_home, elsewhere.candidates, strict=True))
    return Found(candidates, covered | elsewhere.coverage)


def _ms_since(started: float) -> float:
    return (time.perf_counter() - started) * 1000
