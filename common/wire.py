"""The wire between gateway and shard: MessagePack with raw little-endian float32, every length and dtype checked.

A call carries several queries; a query asks about several probes in several stores.
Never pickle: it runs what it reads.

Who a candidate is comes with it: a letter for its kind, and a member's id or nil; and how many photos are behind its
row, for its threshold. A gateway refuses an answer without them rather than call a member of staff a visitor, or a
stranger somebody: in an upgrade the shards come first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import ormsgpack

from common.errors import FacegridError, MalformedBody, ShardGarbage
from common.limits import MAX_TOP_K, NAME
from common.types import VISITOR, Candidate, Kind, KnownAs, StoreView, Vectors

CONTENT_TYPE = "application/msgpack"
SCORE_SLACK = 1e-4
"""float32 rounding may lift a cosine a little over 1"""
UNIT_SLACK = 1e-3
"""how far from 1 the length of a probe may be; scores are cosines only of unit vectors"""
LETTERS = {Kind.VISITOR: b"v", Kind.MEMBER: b"m", Kind.STAFF: b"s"}
KINDS = {letter[0]: kind for kind, letter in LETTERS.items()}


@dataclass(frozen=True, slots=True)
class Query:
    stores: Mapping[str, str]
    """store → incarnation: of a store deleted and created again, a replica must not show the old faces"""
    probes: Vectors
    """(n, d) unit length"""
    top_k: int
    exact: bool = False


@dataclass(frozen=True, slots=True)
class SearchCall:
    space: str
    queries: tuple[Query, ...]
    remaining_ms: int
    """time left for the caller; a shard does not start what cannot be used"""


@dataclass(frozen=True, slots=True)
class QueryReply:
    searched: dict[str, StoreView]
    """the stores really searched; one that was asked for and is not here is not served by this replica"""
    candidates: tuple[tuple[Candidate, ...], ...]
    """per probe, best first, ties by (store, face_id)"""


def pack_call(call: SearchCall) -> bytes:
    queries = [
        {"stores": dict(q.stores), "d": q.probes.shape[1], "probes": _floats(q.probes), "k": q.top_k, "exact": q.exact}
        for q in call.queries
    ]
    return ormsgpack.packb({"space": call.space, "remaining_ms": call.remaining_ms, "queries": queries})


def unpack_call(raw: bytes) -> SearchCall:
    """Raises MalformedBody saying what is wrong."""
    try:
        body = ormsgpack.unpackb(raw)
        queries = tuple(_query(item) for item in body["queries"])
        return SearchCall(_text(body["space"]), queries, int(body["remaining_ms"]))
    except FacegridError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise MalformedBody(f"Not a search call: {type(error).__name__}: {error}.", field="body") from error


def _query(item: dict[str, Any]) -> Query:
    probes = _matrix(item["probes"], int(item["d"]))
    top_k = int(item["k"])
    if not 1 <= top_k <= MAX_TOP_K:
        raise MalformedBody(f"k must be 1 to {MAX_TOP_K}.", field="k", limit=MAX_TOP_K)
    if not (np.abs(np.linalg.norm(probes, axis=1) - 1) <= UNIT_SLACK).all():  # false for NaN too
        raise MalformedBody("A probe is not of unit length.", field="probes", limit=UNIT_SLACK)
    stores = {_text(store): _text(incarnation) for store, incarnation in item["stores"].items()}
    return Query(stores, probes, top_k, bool(item["exact"]))


def pack_reply(replies: Sequence[QueryReply]) -> bytes:
    return ormsgpack.packb([_pack_query_reply(reply) for reply in replies])


def _pack_query_reply(reply: QueryReply) -> dict[str, Any]:
    return {
        "searched": {store: [view.version, view.rows] for store, view in reply.searched.items()},
        "hits": [
            {
                "stores": [c.store for c in hits],
                "faces": [c.face_id for c in hits],
                "scores": _floats(np.array([c.score for c in hits], dtype=np.float32)),
                "kinds": b"".join(LETTERS[c.kind] for c in hits),
                "members": [c.member_id for c in hits],
                "photos": bytes(c.photos for c in hits),
            }
            for hits in reply.candidates
        ],
    }


def unpack_reply(raw: bytes, call: SearchCall) -> tuple[QueryReply, ...]:
    """Read the answer to `call`; raises ShardGarbage if it is not one: unreadable, of other lengths, of impossible
    scores, or about stores that were not asked for."""
    try:
        items = ormsgpack.unpackb(raw)
        return tuple(_query_reply(item, query) for item, query in zip(items, call.queries, strict=True))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise ShardGarbage(f"A shard's answer is unreadable: {type(error).__name__}: {error}.") from error


def _query_reply(item: dict[str, Any], query: Query) -> QueryReply:
    searched = {_text(store): StoreView(int(v), int(rows)) for store, (v, rows) in item["searched"].items()}
    if not searched.keys() <= query.stores.keys():
        raise ValueError("stores that were not asked for")
    if len(item["hits"]) != len(query.probes):
        raise ValueError(f"{len(item['hits'])} results for {len(query.probes)} probes")
    return QueryReply(searched, tuple(_hits(hits, searched, query.top_k) for hits in item["hits"]))


def _hits(item: dict[str, Any], searched: dict[str, StoreView], top_k: int) -> tuple[Candidate, ...]:
    scores = np.frombuffer(item["scores"], dtype="<f4")
    if len(scores) > top_k or not (np.abs(scores) <= 1 + SCORE_SLACK).all():
        raise ValueError("too many candidates or impossible scores")
    who = zip(item["kinds"], item["members"], strict=True)
    rows = zip(item["stores"], item["faces"], scores.tolist(), who, item["photos"], strict=True)
    hits = tuple(
        Candidate(_text(store), _text(face_id), score, *_known_as(*known), photos=_photos(photos))
        for store, face_id, score, known, photos in rows
    )
    if not {hit.store for hit in hits} <= searched.keys():
        raise ValueError("a candidate of a store that was not searched")
    return hits


def _photos(count: object) -> int:
    if not isinstance(count, int) or count < 1:
        raise ValueError("a face without photos")
    return count


def _known_as(letter: object, member_id: object) -> KnownAs:
    kind = KINDS.get(letter) if isinstance(letter, int) else None
    if kind is None:
        raise ValueError("an unknown kind of face")
    if member_id is None:
        return VISITOR if kind is Kind.VISITOR else (kind, None)
    if kind is Kind.VISITOR or NAME.fullmatch(_text(member_id)) is None:
        raise ValueError("an impossible member")
    return kind, _text(member_id)


@dataclass(frozen=True, slots=True)
class AwaitCall:
    """Asks a replica to answer once it has applied `version` of the store, or when the time is over."""

    store: str
    incarnation: str
    version: int
    remaining_ms: int


def pack_await(call: AwaitCall) -> bytes:
    return ormsgpack.packb(asdict(call))


def unpack_await(raw: bytes) -> AwaitCall:
    """Raises MalformedBody saying what is wrong."""
    try:
        body = ormsgpack.unpackb(raw)
        return AwaitCall(
            _text(body["store"]), _text(body["incarnation"]), int(body["version"]), int(body["remaining_ms"])
        )
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise MalformedBody(f"Not an await call: {type(error).__name__}: {error}.", field="body") from error


def pack_version(version: int) -> bytes:
    return ormsgpack.packb(version)


def unpack_version(raw: bytes) -> int:
    """Raises ShardGarbage if it is no version."""
    try:
        return int(ormsgpack.unpackb(raw))
    except (ValueError, TypeError, OverflowError) as error:
        raise ShardGarbage("A shard's answer is no version.") from error


def _floats(vectors: Vectors) -> bytes:
    return vectors.astype("<f4", copy=False).tobytes()


def _matrix(raw: bytes, dimension: int) -> Vectors:
    if dimension < 1 or not raw or len(raw) % (4 * dimension):
        raise MalformedBody(f"{len(raw)} bytes are no rows of {dimension} float32.", field="probes", limit=dimension)
    return np.frombuffer(raw, dtype="<f4").reshape(-1, dimension)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} where text belongs")
    return value
