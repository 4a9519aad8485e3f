"""Identify (1:N): who is this? Home first, then everywhere, and never a claim about what was not looked at.

              best >= threshold(rows searched)        → match
              below it, every store in scope answered → no_match
              below it, something is missing          → inconclusive

A store's own gallery is small, so its threshold is lower and its answer both faster and more precise; only the probes
that miss there go on to the other stores of the group, under the stricter threshold for that many rows.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from common.cluster_map import StoreConfig
from common.errors import NothingSearched
from common.types import Candidate, Scope, Vectors, Verdict
from gateway.coverage import Coverage
from gateway.deadline import Deadline
from gateway.replica_set import Question
from gateway.router import Found, Router, merge
from gateway.threshold import threshold
from gateway.view import ClusterView

Mode = Literal["home", "fan_out"]


@dataclass(frozen=True, slots=True)
class Asked:
    """How to search: how many candidates, where, exactly or not, a threshold that overrides all others, and the version
    of the home store that must be seen."""

    top_k: int = 5
    scope: Scope = Scope.AUTO
    exact: bool = False
    threshold: float | None = None
    min_version: int | None = None


@dataclass(frozen=True, slots=True)
class Identified:
    """The answer about one probe."""

    verdict: Verdict
    candidates: tuple[Candidate, ...]
    threshold: float
    coverage: Coverage
    mode: Mode
    home_threshold: float | None = None
    """of the home store's gallery alone, where it was searched first and the search went on"""

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


def verdict(candidates: Sequence[Candidate], cut: float, coverage: Coverage) -> Verdict:
    if candidates and candidates[0].score >= cut:
        return Verdict.MATCH
    return Verdict.NO_MATCH if coverage.full else Verdict.INCONCLUSIVE


class Identifier:
    def __init__(self, view: ClusterView, router: Router, target_fpir: float) -> None:
        self._view = view
        self._router = router
        self._target_fpir = target_fpir

    async def identify(self, home: StoreConfig, probes: Vectors, asked: Asked, deadline: Deadline) -> Identification:
        """One answer a probe; `probes` is (n, d) of unit length. Raises NothingSearched if no shard answered at all,
        StaleReplica if home cannot be searched at `min_version`."""
        timing = Timing()
        question = Question(home.space, probes, asked.top_k, asked.exact)
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

        again = Question(home.space, np.ascontiguousarray(probes[goes_on]), asked.top_k, asked.exact)
        elsewhere = await self._elsewhere(others, again, deadline, timing)
        both = _together([at_home.candidates[at] for at in goes_on], at_home.coverage, elsewhere, asked.top_k)
        for at, result in zip(goes_on, self._answers(home, both, asked, "fan_out"), strict=True):
            results[at] = replace(result, home_threshold=results[at].threshold)
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
        return tuple(
            Identified(verdict(candidates, cut, coverage), candidates, cut, coverage, mode)
            for candidates in found.candidates
        )

    def _cut(self, home: StoreConfig, asked: Asked, mode: Mode, rows: int) -> float:
        """A store's own threshold was chosen for its own gallery: beyond it, it makes the cut only stricter."""
        if asked.threshold is not None:
            return asked.threshold
        by_rows = threshold(home.space, rows, self._target_fpir)
        if home.threshold is None:
            return by_rows
        return home.threshold if mode == "home" else max(home.threshold, by_rows)


def _goes_on(at_home: Identified, asked: Asked) -> bool:
    """Whether the other stores are searched for this probe too."""
    return asked.scope is Scope.GROUP or (asked.scope is Scope.AUTO and at_home.verdict is not Verdict.MATCH)


def _together(at_home: Sequence[Sequence[Candidate]], covered: Coverage, elsewhere: Found, top_k: int) -> Found:
    """Both searches as one: what home gave for each probe that went on, and what the other stores gave."""
    candidates = tuple(merge(both, top_k) for both in zip(at_home, elsewhere.candidates, strict=True))
    return Found(candidates, covered | elsewhere.coverage)


def _ms_since(started: float) -> float:
    return (time.perf_counter() - started) * 1000
