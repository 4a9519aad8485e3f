"""What an answer may say, given the truth. Pure: no cluster is needed to read or test it."""

from __future__ import annotations

from typing import Any

import numpy as np

from common.types import Vectors
from tests.cluster.model.truth import Face, Truth

SCORE_SLACK = 1e-5
"""float32 sums in another order; the shard's own are exact to the last bit"""


class Wrong(AssertionError):
    """The cluster said or did what the model cannot explain."""


def judge_candidates(result: dict[str, Any], probe: Vectors, truth: Truth) -> None:
    """No candidate that was deleted, none with the row it had before: where that was acknowledged as visible, or where
    the answer says that it is from that version or a later one."""
    versions = result["route"]["versions"]
    for candidate in result["candidates"]:
        face = truth.stores[candidate["store"]].get(candidate["face_id"])
        if face is None:
            raise Wrong(f"A face that was never enrolled answers: {candidate}.")
        if face.certain and (face.visible or versions.get(candidate["store"], -1) >= face.version):
            _judge_candidate(candidate, face, probe)


def _judge_candidate(candidate: dict[str, Any], face: Face, probe: Vectors) -> None:
    if face.possible[0] is None:
        raise Wrong(f"A deleted face answers: {candidate}.")
    score = float(np.dot(face.row.astype(np.float64), probe.astype(np.float64)))
    if abs(score - candidate["score"]) > SCORE_SLACK:
        raise Wrong(f"A face answers with a row that it has no more (score {score} is right): {candidate}.")


def judge_known(result: dict[str, Any], key: tuple[str, str], face: Face) -> None:
    """A probe of `face`, which is certainly there and must be seen: it is the match, unless its store was not
    searched."""
    found = [(candidate["store"], candidate["face_id"]) for candidate in result["candidates"]]
    match result["verdict"]:
        case "match" if found[0] == key:
            return
        case "inconclusive" if key[0] not in result["route"]["versions"]:
            return
        case verdict:
            why = f"searched {result['route']['versions']}, coverage {result['coverage']}, best {found[:2]}"
            raise Wrong(f"{verdict} for {key}, acknowledged at version {face.version}: {why}.")


def judge_stranger(result: dict[str, Any], stores: int) -> None:
    """Nobody looks like a random direction: never a match, and `no_match` only if every store was searched."""
    covered = result["coverage"]["stores"]
    if result["verdict"] == "match":
        raise Wrong(f"A stranger matched {result['candidates'][:1]} at threshold {result['threshold']}.")
    full = covered["missing"] == [] and covered["total"] == covered["searched"] == stores
    if (result["verdict"] == "no_match") != full:
        raise Wrong(f"{result['verdict']} for a stranger though {covered} of {stores} stores were searched.")
