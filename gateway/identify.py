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
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from common.cluster_map import StoreConfig
from common.errors import NothingSearched
from common.types import Candidate, Scope, Vectors, Verdict
from gateway.deadline import Deadline
from gateway.replica_set import Question
from gateway.router import Coverage, Found, Router, merge
from gateway.threshold import threshold
from gateway.view import ClusterView

Mode = Literal["home", "fan_out"]


@dataclass(frozen=True, slots=True)
class Asked:
    """How to search: how many candidates, where, exactly or not, and a threshold that overrides all others."""

    top_k: int = 5
    scope: Scope = Scope.AUTO
    exact: bool = False
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class Identified:
    """The answer about one probe."""

    verdict: Verdict
    candidates: tuple[Candidate, ...]
    threshold: float
    coverage: Coverage
    mode: Mode


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
        """One answer a probe; `probes` is (n, d) of unit length. Raises NothingSearched if no shard answered at all."""
        timing = Timing()
        question = Question(home.space, probes, asked.top_k, asked.exact)
        if asked.scope is Scope.GROUP:
            everywhere = await self._timed(self._view.group_of(home), question, deadline, timing)
            return Identification(self._answers(home, everywhere, asked, "fan_out"), timing)

        started = time.perf_counter()
        at_home = await self._router.search([home], question, deadline)
        timing.home_ms = _ms_since(started)
        results = list(self._answers(home, at_home, asked, "home", may_be_empty=asked.scope is Scope.AUTO))
        missed = [at for at, result in enumerate(results) if result.verdict is not Verdict.MATCH]
        if asked.scope is Scope.STORE or not missed:
            return Identification(tuple(results), timing)

        others = [config for config in self._view.group_of(home) if config.store != home.store]
        if not others:
            return Identification(self._answers(home, at_home, asked, "home"), timing)
        again = Question(home.space, np.ascontiguousarray(probes[missed]), asked.top_k, asked.exact)
        elsewhere = await self._timed(others, again, deadline, timing)
        both = Found(
            tuple(
                merge((at_home.candidates[at], elsewhere.candidates[nth]), asked.top_k) for nth, at in enumerate(missed)
            ),
            at_home.coverage | elsewhere.coverage,
        )
        for at, result in zip(missed, self._answers(home, both, asked, "fan_out"), strict=True):
            results[at] = result
        return Identification(tuple(results), timing)

    async def _timed(
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
            raise NothingSearched("No shard answered the search.", failed=coverage.failed, missing=coverage.missing)
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


def _ms_since(started: float) -> float:
    return (time.perf_counter() - started) * 1000
