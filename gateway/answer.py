"""What a search answers, as JSON bytes.

Written from plain dicts: checking our own answer against its schema once more would cost as much as the search. That
these are the shapes of `schemas.search` is what the tests check with every response.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from common.cluster_map import StoreConfig
from common.members import MemberCard
from common.types import Candidate
from common.vectors import distance
from gateway.coverage import Coverage
from gateway.cut import Cut
from gateway.quality import numbers
from gateway.schemas.members import CardAnswer
from gateway.schemas.search import Seen
from gateway.verdict import Identified

Json = dict[str, Any]
Cards = Mapping[str, MemberCard]


def result_of(result: Identified, home: StoreConfig, seen: Seen | None, cards: Cards) -> Json:
    """schemas.search.ResultAnswer"""
    face = None if seen is None else seen.face
    return {
        "box": None if face is None else face.box,
        "quality": None if face is None else numbers(face.quality),
        "reasons": [] if seen is None else list(seen.reasons),
        **_said(result, cards),
        "coverage": orjson.Fragment(result.coverage.report_json),
        "route": {
            "mode": result.mode,
            "shard": home.shard,
            "versions": orjson.Fragment(result.coverage.versions_json),
        },
    }


def batch_of(
    results: Sequence[tuple[StoreConfig, Identified]], cards: Cards
) -> tuple[list[Json], list[orjson.Fragment]]:
    """Of schemas.search.BatchAnswer the `results` and the `coverages` that they point to."""
    places: dict[Coverage, int] = {}
    answered = []
    for home, result in results:
        coverage = places.setdefault(result.coverage, len(places))
        where = {"store": home.store, "mode": result.mode, "version": result.coverage.version(home.store)}
        answered.append(where | _said(result, cards) | {"coverage": coverage})
    return answered, [orjson.Fragment(coverage.report_json) for coverage in places]


def packed(answer: Json) -> bytes:
    return orjson.dumps(answer, option=orjson.OPT_UTC_Z)


def _said(result: Identified, cards: Cards) -> Json:
    member = result.member_id
    card = None if member is None else cards.get(member)
    return {
        "verdict": result.verdict,
        "reason": result.why,
        "candidates": _candidates(result.candidates, result.cut),
        "member": None if card is None else CardAnswer.of(card).model_dump(),
        "threshold": result.threshold,
        "threshold_measured": result.cut.measured,
    }


def _candidates(candidates: Sequence[Candidate], cut: Cut) -> list[Json]:
    thresholds = {one.photos: cut.of(one) for one in candidates}
    return [
        {
            "store": store,
            "face_id": face_id,
            "score": score,
            "distance": distance(score),
            "kind": kind.value,
            "member_id": member_id,
            "photos": photos,
            "threshold": thresholds[photos],
        }
        for store, face_id, score, kind, member_id, photos in candidates
    ]
