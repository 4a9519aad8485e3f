"""The answer to a search call."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice, repeat
from typing import Any

import numpy as np
import ormsgpack

from common.errors import ShardGarbage
from common.limits import NAME
from common.types import Candidate, Kind, StoreView, candidate_of
from common.wire.call import QueryReply, SearchCall
from common.wire.reading import UNREADABLE, array, as_bytes, as_text, distinct
from common.wire.scope import Scope, Views

SCORE_SLACK = 1e-4
"""float32 rounding may lift a cosine a little over 1"""
NOT_SEARCHED = -1
"""where the version of a store would be"""
ABSENT = StoreView(NOT_SEARCHED, 0)
NOTHING: tuple[tuple[Any, ...], ...] = ((),) * len(Candidate._fields)
"""the columns of no candidates"""
LETTERS = {Kind.VISITOR: b"v", Kind.MEMBER: b"m", Kind.STAFF: b"s"}
KINDS = {letter[0]: kind for kind, letter in LETTERS.items()}


_pack_one = struct.Struct("<q").pack


def pack_reply(replies: Sequence[QueryReply], call: SearchCall) -> bytes:
    """The answers to the queries of `call`, in their order."""
    scopes, scope_of = distinct([query.stores for query in call.queries])
    searched = {at: reply.searched for at, reply in zip(scope_of, replies, strict=True)}
    told = [_told(scope, searched[at]) for at, scope in enumerate(scopes)]
    counts: list[int] = []
    stores: list[int] = []
    every: list[Candidate] = []
    for at, reply in zip(scope_of, replies, strict=True):
        place, _ = told[at]
        for hits in reply.candidates:
            counts.append(len(hits))
            stores += [place[hit.store] for hit in hits]
            every += hits
    _, faces, scores, kinds, members, photos = zip(*every, strict=True) if every else NOTHING
    bound = [] if members.count(None) == len(members) else [at for at, name in enumerate(members) if name is not None]
    return ormsgpack.packb(
        {
            "scopes": [views for _, views in told],
            "counts": _packed("H", counts),
            "stores": _packed("i", stores),
            "faces": faces,
            "scores": _packed("f", scores),
            "kinds": _pack_kinds(kinds),
            "photos": bytes(photos),
            "bound": bound,
            "members": [members[at] for at in bound],
        }
    )


def _pack_kinds(kinds: tuple[Kind, ...]) -> bytes:
    if kinds.count(Kind.VISITOR) == len(kinds):  # as most are; an enum's hash costs more than all the rest of a hit
        return LETTERS[Kind.VISITOR] * len(kinds)
    return b"".join([LETTERS[kind] for kind in kinds])


def _told(scope: Mapping[str, str], searched: Mapping[str, StoreView]) -> tuple[Mapping[str, int], Sequence[bytes]]:
    """The place of each store, and their views."""
    if not isinstance(searched, Views):
        return _places(scope), _pack_views(scope, searched)
    stores = _names(scope)
    if searched.told is None or (searched.told[0] is not stores and searched.told[0] != stores):
        searched.told = stores, _places(scope), _pack_views(scope, searched)
    return searched.told[1:]


def _places(scope: Mapping[str, str]) -> dict[str, int]:
    return dict(zip(scope, range(len(scope)), strict=True))


def _pack_views(scope: Mapping[str, str], searched: Mapping[str, StoreView]) -> list[bytes]:
    if len(scope) == 1:
        (store,) = scope
        return [*map(_pack_one, searched.get(store, ABSENT))]
    views = map(searched.get, scope, repeat(ABSENT))
    return [_packed("q", column) for column in zip(*views, strict=True)] or [b"", b""]


def _packed(letter: str, numbers: Sequence[float]) -> bytes:
    """Little-endian numbers of the type that `struct` calls by this letter, in a fifth of the time that a numpy array
    of them takes."""
    return struct.pack(f"<{len(numbers)}{letter}", *numbers)


def unpack_reply(raw: bytes, call: SearchCall) -> tuple[QueryReply, ...]:
    """Read the answer to `call`; raises ShardGarbage if it is not one: unreadable, of other lengths, of impossible
    scores, or about stores that were not searched."""
    try:
        body = ormsgpack.unpackb(raw)
        scopes, scope_of = distinct([query.stores for query in call.queries])
        searched = [_views(*pair) for pair in zip(scopes, body["scopes"], strict=True)]
        counts = array(body["counts"], "<u2").tolist()
        hits = iter(_hits(body, _scope_of_hits(call, scope_of, counts), scopes, searched))
        ends = iter(counts)
        replies = []
        for at, query in zip(scope_of, call.queries, strict=True):
            candidates = tuple([tuple(islice(hits, count)) for count in islice(ends, len(query.probes))])
            replies.append(QueryReply(searched[at], candidates))
        return tuple(replies)
    except UNREADABLE as error:
        raise ShardGarbage(f"A shard's answer is unreadable: {type(error).__name__}: {error}.") from error


def _scope_of_hits(call: SearchCall, scope_of: Sequence[int], counts: Sequence[int]) -> list[int]:
    """Which scope each hit is of; raises ValueError where a probe has more hits than were asked for."""
    scopes: list[int] = []
    start = 0
    for at, query in zip(scope_of, call.queries, strict=True):
        of_query = counts[start : start + len(query.probes)]
        if max(of_query, default=0) > query.top_k:
            raise ValueError(f"{max(of_query)} candidates where {query.top_k} were asked for")
        scopes += [at] * sum(of_query)
        start += len(query.probes)
    if len(counts) != start:
        raise ValueError(f"{len(counts)} results")
    return scopes


def _hits(
    body: dict[str, Any],
    scope_of: Sequence[int],
    scopes: Sequence[Mapping[str, str]],
    searched: Sequence[Mapping[str, StoreView]],
) -> list[Candidate]:
    scores = array(body["scores"], "<f4")
    if not np.maximum.reduce(np.abs(scores), initial=0) <= 1 + SCORE_SLACK:  # true for NaN, which such a maximum is too
        raise ValueError("impossible scores")
    places = array(body["stores"], "<i4").tolist()
    if min(places, default=0) < 0:
        raise ValueError("a store before the first")
    names = [_names(scope) for scope in scopes]
    stores = [names[scope][place] for scope, place in zip(scope_of, places, strict=True)]
    if any(map(_lacks_some, scopes, searched)) and not all(
        store in searched[scope] for scope, store in zip(scope_of, stores, strict=True)
    ):
        raise ValueError("a candidate of a store that was not searched")
    faces, photos = body["faces"], body["photos"]
    if not {*map(type, faces)} <= {str} or not isinstance(photos, bytes) or 0 in photos:
        raise ValueError("a face without a name or photos")
    kinds = [KINDS[letter] for letter in as_bytes(body["kinds"])]
    members = _members(body["bound"], body["members"], kinds)
    columns = zip(stores, faces, scores.tolist(), kinds, members, photos, strict=True)
    return list(map(candidate_of, columns))


def _lacks_some(scope: Mapping[str, str], searched: Mapping[str, StoreView]) -> bool:
    return len(searched) < len(scope)


def _names(scope: Mapping[str, str]) -> Sequence[str]:
    return scope.names if isinstance(scope, Scope) else tuple(scope)


def _members(bound: Sequence[int], members: Sequence[object], kinds: Sequence[Kind]) -> list[str | None]:
    """Of each candidate the member that its face is bound to; a visitor is nobody's."""
    found: list[str | None] = [None] * len(kinds)
    for at, member_id in zip(bound, members, strict=True):
        name = as_text(member_id)
        if at < 0 or kinds[at] is Kind.VISITOR or NAME.fullmatch(name) is None:
            raise ValueError("an impossible member")
        found[at] = name
    return found


def _views(stores: Mapping[str, str], packed: Sequence[bytes]) -> Mapping[str, StoreView]:
    if not isinstance(stores, Scope):
        return _read_views(stores, packed)
    if stores.said is None or stores.said[0] != packed:
        stores.said = packed, _read_views(stores, packed)
    return stores.said[1]


def _read_views(names: Iterable[str], packed: Sequence[bytes]) -> dict[str, StoreView]:
    versions, rows = (array(column, "<i8").tolist() for column in packed)
    views = zip(names, map(StoreView, versions, rows), strict=True)
    if len(versions) != len(rows):
        raise ValueError("versions without rows")
    if min(versions, default=0) < NOT_SEARCHED or min(rows, default=0) < 0:
        raise ValueError("an impossible version, or number of rows")
    return {name: view for name, view in views if view.version != NOT_SEARCHED}
