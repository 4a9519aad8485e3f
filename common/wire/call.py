"""A search call: what a gateway asks of one shard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import ormsgpack

from common.errors import FacegridError, MalformedBody
from common.limits import MAX_TOP_K
from common.types import Candidate, StoreView, Vectors
from common.wire.reading import UNREADABLE, as_bytes, as_text, distinct, packed
from common.wire.scope import Scope, checked, scope_of

UNIT_SLACK = 1e-3
"""how far from 1 the length of a probe may be; scores are cosines only of unit vectors"""


class Query(NamedTuple):
    stores: Mapping[str, str]
    """store → incarnation: of a store deleted and created again, a replica must not show the old faces"""
    probes: Vectors
    """(n, d) unit length"""
    top_k: int
    exact: bool = False
    homes: Sequence[str] | None = None
    """per probe the store whose rows it passes over, "" for none: it was searched there already"""


class QueryReply(NamedTuple):
    searched: Mapping[str, StoreView]
    """the stores really searched; one that was asked for and is not here is not served by this replica. Replies share
    it, so nobody changes it"""
    candidates: tuple[tuple[Candidate, ...], ...]
    """per probe, best first, ties by (store, face_id)"""


class SearchCall(NamedTuple):
    space: str
    queries: tuple[Query, ...]
    """of one dimension"""
    remaining_ms: int
    """time left for the caller; a shard does not start what cannot be used"""


def pack_call(call: SearchCall) -> bytes:
    scopes, scope_of = distinct(query.stores for query in call.queries)
    probes = [query.probes for query in call.queries]
    return ormsgpack.packb(
        {
            "space": call.space,
            "remaining_ms": call.remaining_ms,
            "scopes": [stores.packed if isinstance(stores, Scope) else dict(stores) for stores in scopes],
            "queries": [
                [at, len(query.probes), query.top_k, query.exact, None if query.homes is None else list(query.homes)]
                for at, query in zip(scope_of, call.queries, strict=True)
            ],
            "d": probes[0].shape[1],
            "probes": packed(probes[0] if len(probes) == 1 else np.concatenate(probes), "<f4"),
        }
    )


def unpack_call(raw: bytes) -> SearchCall:
    """Raises MalformedBody saying what is wrong."""
    try:
        body = ormsgpack.unpackb(raw)
        scopes = [_stores(item) for item in body["scopes"]]
        if len({*map(id, scopes)}) < len(scopes):  # equal bytes; an answer tells of each that was sent
            scopes = [Scope(stores) for stores in scopes]
        probes = _matrix(body["probes"], int(body["d"]))
        queries = []
        start = 0
        for at, count, top_k, exact, homes in body["queries"]:
            end = start + _at_least(1, count)
            queries.append(
                Query(scopes[_at_least(0, at)], probes[start:end], _top_k(top_k), bool(exact), _homes(homes, count))
            )
            start = end
        if start != len(probes):
            raise ValueError(f"{len(probes)} probes for {start}")
        return SearchCall(as_text(body["space"]), tuple(queries), int(body["remaining_ms"]))
    except FacegridError:
        raise
    except UNREADABLE as error:
        raise MalformedBody(f"Not a search call: {type(error).__name__}: {error}.", field="body") from error


def _matrix(raw: object, dimension: int) -> Vectors:
    sent = as_bytes(raw)
    if dimension < 1 or not sent or len(sent) % (4 * dimension):
        raise MalformedBody(f"{len(sent)} bytes are no rows of {dimension} float32.", field="probes", limit=dimension)
    probes = np.frombuffer(sent, dtype="<f4").reshape(-1, dimension)
    # Of float32 sums: an error of 1e-5 at most, far below the slack. False for NaN too.
    if [square for square in np.vecdot(probes, probes).tolist() if not abs(square - 1) <= 2 * UNIT_SLACK]:
        raise MalformedBody("A probe is not of unit length.", field="probes", limit=UNIT_SLACK)
    return probes


def _stores(sent: dict[str, str] | bytes) -> Mapping[str, str]:
    return scope_of(sent) if isinstance(sent, bytes) else checked(sent)


def _homes(homes: Sequence[object] | None, count: int) -> list[str] | None:
    if homes is None:
        return None
    if len(homes) != count:
        raise ValueError(f"{len(homes)} homes for {count} probes")
    return [as_text(home) for home in homes]


def _top_k(value: object) -> int:
    if not isinstance(value, int) or not 1 <= value <= MAX_TOP_K:
        raise MalformedBody(f"k must be 1 to {MAX_TOP_K}.", field="k", limit=MAX_TOP_K)
    return value


def _at_least(least: int, value: object) -> int:
    if not isinstance(value, int) or value < least:
        raise ValueError(f"no number from {least} on")
    return value
