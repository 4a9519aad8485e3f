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
    answer: Json = {
        "box": None if face is None else face.box,
        "quality": None if face is None else numbers(face.quality),
        "reasons": [] if seen is None else list(seen.reasons),
    }
    _say(answer, result, cards)
    answer["coverage"] = orjson.Fragment(result.coverage.report_json)
    versions = orjson.Fragment(result.coverage.versions_json)
    answer["route"] = {"mode": result.mode, "shard": home.shard, "versions": versions}
    return answer


def batch_of(
    results: Sequence[tuple[StoreConfig, Identified]], cards: Cards
) -> tuple[list[Json], list[orjson.Fragment]]:
    """Of schemas.search.BatchAnswer the `results` and the `coverages` that they point to."""
    places: dict[Coverage, int] = {}
    answered = []
    for home, result in results:
        coverage = places.setdefault(result.coverage, len(places))
        answer: Json = {"store": home.store, "mode": result.mode, "version": result.coverage.version(home.store)}
        _say(answer, result, cards)
        answer["coverage"] = coverage
        answered.append(answer)
    return answered, [orjson.Fragment(coverage.report_json) for coverage in places]


def packed(answer: Json) -> bytes:
    return orjson.dumps(answer, option=orjson.OPT_UTC_Z)


def _say(answer: Json, result: Identified, cards: Cards) -> None:
    """Add schemas.search.SaidAnswer to it. Enums as text: orjson would ask each for its value, which takes longer than
    to write it."""
    member = result.member_id
    card = None if member is None else cards.get(member)
    why = result.why
    answer["verdict"] = str(result.verdict)
    answer["reason"] = None if why is None else str(why)
    answer["candidates"] = _candidates(result.candidates, result.cut)
    answer["member"] = None if card is None else CardAnswer.of(card).model_dump()
    answer["threshold"] = result.threshold
    answer["threshold_measured"] = result.cut.measured


def _candidates(candidates: Sequence[Candidate], cut: Cut) -> list[Json]:
    thresholds = {photos: cut.reach(photos) for photos in {one.photos for one in candidates}}
    return [
        {
            "store": store,
            "face_id": face_id,
            "score": score,
            "distance": distance(score),
            "kind": str(kind),
            "member_id": member_id,
            "photos": photos,
            "threshold": thresholds[photos],
        }
        for store, face_id, score, kind, member_id, photos in candidates
    ]
