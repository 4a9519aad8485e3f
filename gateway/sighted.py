"""What a sighting answers about each face, as plain dicts for JSON.

Like `answer`: checking our own answer against its schema once more costs as much as counting the person. That these are
the shapes of `schemas.sightings` is what the tests check with every response.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from common.types import Verdict
from common.visits import Recorded
from gateway.answer import Json
from gateway.pictures import Place
from gateway.sight import Sighted


def sighted_of(sighted: Sighted, place: Place) -> Json:
    """schemas.sightings.SightedAnswer"""
    who = sighted.candidate
    return {
        "outcome": sighted.outcome.value,
        "verdict": sighted.verdict,
        "new": sighted.new,
        "store": None if who is None else who.store,
        "face_id": None if who is None else who.face_id,
        "kind": None if who is None else who.kind,
        "member_id": None if who is None else who.member_id,
        "score": None if who is None or sighted.verdict is Verdict.NO_MATCH else who.score,
        "threshold": sighted.threshold,
        "visit": None if sighted.recorded is None else _visit_of(sighted.recorded),
        "reasons": [],
        **_place_of(place),
    }


def rejected_of(reasons: Sequence[str], place: Place) -> Json:
    """schemas.sightings.SightedAnswer, of a face that was too poor to be told apart"""
    of_nobody = dict.fromkeys(
        ("verdict", "new", "store", "face_id", "kind", "member_id", "score", "threshold", "visit"), None
    )
    return {"outcome": "rejected", **of_nobody, "new": False, "reasons": list(reasons), **_place_of(place)}


def time_of(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _visit_of(recorded: Recorded) -> Json:
    return {"start": time_of(recorded.visit_start_ms), "started": recorded.started}


def _place_of(place: Place) -> Json:
    return {"box": place.box, "photo": place.photo}
