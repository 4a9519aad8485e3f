"""Identify (1:N): who is this? Home first, then everywhere, and never a claim about what was not looked at.

A store's own gallery is small, so its thresholds are lower and its answer both faster and more precise; only the probes
that miss there go on to the other stores of the group, under the stricter thresholds for that many rows (`cut`).
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import numpy as np

from common.cluster_map import StoreConfig
from common.errors import NothingSearched
from common.types import Candidate, Scope, Vectors, Verdict
from gateway.coverage import Coverage
from gateway.cut import Cut, cut_of
from gateway.deadline import Deadline
from gateway.replica_set import Question
from gateway.router import Found, Router, merge
from gateway.spaces import Spaces
from gateway.store_set import StoreSet
from gateway.verdict import Asked, Identified, Mode, Why, is_match, lead, margin_of, named, verdict
from gateway.view import ClusterView

Done = TypeVar("Done")


@dataclass(slots=True)
class Timing:
    home_s: float = 0.0
    fan_out_s: float = 0.0


class Asking(NamedTuple):
    """Probes (n, d) of unit length, seen at one store."""

    home: StoreConfig
    probes: Vectors


@dataclass(frozen=True, slots=True)
class Onward:
    """The probes of one store that other stores are searched for too, and what was found for them at home."""

    asking: Asking
    goes_on: Sequence[int]
    """which of the store's probes"""
    at_home: Found | None = None
    """None: home was not searched by itself"""
    results: list[Identified] = field(default_factory=list)
    """for all of the store's probes"""

    @classmethod
    def at_once(cls, asking: Asking) -> Onward:
        return cls(asking, range(len(asking.probes)))

    @property
    def probes(self) -> Vectors:
        if len(self.goes_on) == len(self.asking.probes):
            return self.asking.probes
        return np.ascontiguousarray(self.asking.probes[list(self.goes_on)])

    @property
    def passed_over(self) -> str:
        """Home, where it was searched; a home that did not answer is asked again with the others."""
        return self.asking.home.store if self.at_home is not None and self.at_home.coverage.full else ""

    def together(self, elsewhere: tuple[tuple[Candidate, ...], ...], coverage: Coverage, top_k: int) -> Found:
        """Both searches as one."""
        if self.at_home is None or not self.passed_over:
            return Found(elsewhere, coverage)
        here = self.at_home.candidates
        candidates = [merge((here[at], others), top_k) for at, others in zip(self.goes_on, elsewhere, strict=True)]
        view = self.at_home.coverage.views[self.passed_over]
        return Found(tuple(candidates), coverage.with_home(self.passed_over, view))


class Identification(NamedTuple):
    results: tuple[Identified, ...]
    timing: Timing


class Identifier:
    def __init__(self, view: ClusterView, router: Router, spaces: Spaces, target_fpir: float) -> None:
        self._view = view
        self._router = router
        self._spaces = spaces
        self._target_fpir = target_fpir

    async def identify(self, home: StoreConfig, probes: Vectors, asked: Asked, deadline: Deadline) -> Identification:
        """One answer a probe; `probes` is (n, d) of unit length. Raises NothingSearched if no shard answered at all,
        StaleReplica if home cannot be searched at `min_version`, EncoderMissing for a space unknown here."""
        (results,), timing = await self.identify_each([Asking(home, probes)], asked, deadline)
        return Identification(results, timing)

    async def identify_each(
        self, askings: Sequence[Asking], asked: Asked, deadline: Deadline
    ) -> tuple[list[tuple[Identified, ...]], Timing]:
        """The same for several stores at once, each once: its answers, in this order. Homes are searched at the same
        time, then, with all the probes that go on, each group once. NothingSearched: not for any of the stores."""
        timing = Timing()
        if asked.scope is Scope.GROUP and asked.min_version is None:
            everywhere = await self._everywhere([Onward.at_once(one) for one in askings], asked, deadline, timing)
            _require_some([found for _, found in everywhere])
            found_of = {id(onward.asking): found for onward, found in everywhere}
            return [tuple(self._answers(one.home, found_of[id(one)], asked, "fan_out")) for one in askings], timing

        started = time.perf_counter()
        at_home = await self._at_home(askings, asked, deadline)
        timing.home_s = time.perf_counter() - started
        answers, going = [], []
        for one, found in zip(askings, at_home, strict=True):
            further = asked.scope is not Scope.STORE and len(self._view.group_of(one.home)) > 1
            mode: Mode = "fan_out" if asked.scope is Scope.GROUP and not further else "home"
            results = self._answers(one.home, found, asked, mode)
            answers.append(results)
            if further and (goes_on := [at for at, result in enumerate(results) if _goes_on(result, asked)]):
                going.append(Onward(one, goes_on, found, results))
        everywhere = await self._everywhere(going, asked, deadline, timing) if going else []
        _require_some([*at_home, *(found for _, found in everywhere)])
        for onward, found in everywhere:
            home_cut = onward.results[0].cut  # that of all of them
            final = self._answers(onward.asking.home, found, asked, "fan_out", home_cut)
            for at, result in zip(onward.goes_on, final, strict=True):
                onward.results[at] = result
        return [tuple(results) for results in answers], timing

    async def _at_home(self, askings: Sequence[Asking], asked: Asked, deadline: Deadline) -> Sequence[Found]:
        if asked.min_version is None:
            searches = [(self._view.alone(one.home), _question(one, asked)) for one in askings]
            return await self._router.search_each(searches, deadline)
        return await _all(
            [self._router.search_at(one.home, asked.min_version, _question(one, asked), deadline) for one in askings]
        )

    async def _everywhere(
        self, going: Sequence[Onward], asked: Asked, deadline: Deadline, timing: Timing
    ) -> list[tuple[Onward, Found]]:
        """What each finds in all stores of its group, home included."""
        by_group: dict[StoreSet, list[Onward]] = {}
        for onward in going:
            by_group.setdefault(self._view.group_of(onward.asking.home), []).append(onward)
        started = time.perf_counter()
        found = await _all([self._in_group(group, each, asked, deadline) for group, each in by_group.items()])
        timing.fan_out_s = time.perf_counter() - started
        return [pair for pairs in found for pair in pairs]

    async def _in_group(
        self, group: StoreSet, going: Sequence[Onward], asked: Asked, deadline: Deadline
    ) -> list[tuple[Onward, Found]]:
        """All probes in one search. Homes that answered are passed over, and count as they were searched before."""
        probes = np.concatenate([onward.probes for onward in going]) if len(going) > 1 else going[0].probes
        homes = [home for onward in going for home in [onward.passed_over] * len(onward.goes_on)]
        top_k = max(named(onward.asking.home, asked) for onward in going)
        space = going[0].asking.home.space
        question = Question(space, probes, top_k, asked.exact, homes if any(homes) else None)
        found = await self._router.search(group, question, deadline)
        candidates = iter(found.candidates)
        return [
            (onward, onward.together(tuple(islice(candidates, len(onward.goes_on))), found.coverage, top_k))
            for onward in going
        ]

    def _answers(
        self, home: StoreConfig, found: Found, asked: Asked, mode: Mode, home_cut: Cut | None = None
    ) -> list[Identified]:
        coverage = found.coverage
        cut = self._cut(home, asked, mode, coverage.rows)
        most, margin = named(home, asked), margin_of(home, asked)
        answers = []
        for by_score in found.candidates:
            candidates = cut.best_first(by_score[:most])  # there are more where another store of the batch wants them
            ahead = lead(candidates, cut, most) if is_match(candidates, cut) else math.inf
            said = verdict(candidates, cut, coverage, ambiguous=margin is not None and ahead < margin)
            answers.append(Identified(said, candidates[: asked.top_k], cut, coverage, mode, home_cut, ahead))
        return answers

    def _cut(self, home: StoreConfig, asked: Asked, mode: Mode, rows: int) -> Cut:
        curve = self._spaces.of_store(home).curve
        target = self._target_fpir if home.target_fpir is None else home.target_fpir
        own = home.threshold
        if asked.threshold is not None or (own is not None and mode == "home"):
            return Cut(curve, rows, target, asked.photos, own if asked.threshold is None else asked.threshold)
        return cut_of(curve, rows, target, asked.photos, -1.0 if own is None else own)


def _goes_on(at_home: Identified, asked: Asked) -> bool:
    """Whether the other stores are searched for this probe too. Two of this store that cannot be told apart stay so."""
    known_here = at_home.verdict is Verdict.MATCH or at_home.why is Why.AMBIGUOUS
    return asked.scope is Scope.GROUP or (asked.scope is Scope.AUTO and not known_here)


def _require_some(found: Sequence[Found]) -> None:
    """Raises NothingSearched where no shard answered for any of them. One whose shards are silent while others answer
    is inconclusive, and takes nothing from the others."""
    if not any(one.coverage.views for one in found):
        raise NothingSearched("No shard answered the search.", coverage=found[-1].coverage.report())


def _question(asking: Asking, asked: Asked) -> Question:
    return Question(asking.home.space, asking.probes, named(asking.home, asked), asked.exact)


async def _all(searches: Sequence[Coroutine[Any, Any, Done]]) -> Sequence[Done]:
    """Their results; one by itself needs no task of its own."""
    return [await searches[0]] if len(searches) == 1 else await asyncio.gather(*searches)
