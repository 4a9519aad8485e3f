"""The wire checks every length and type; what a peer sends wrong is an error, never a crash or a wrong answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import ormsgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import MalformedBody, ShardGarbage
from common.types import DLIB_SPACE, Candidate, Kind, KnownAs, StoreView
from common.wire import (
    Query,
    QueryReply,
    Scope,
    SearchCall,
    Views,
    pack_call,
    pack_reply,
    unpack_await,
    unpack_call,
    unpack_reply,
)

PROBES = np.eye(2, 128, dtype=np.float32)
STORES = {"A": "i", "B": "j"}
CALL = SearchCall(DLIB_SPACE, (Query(STORES, PROBES, top_k=2),), remaining_ms=500)
HITS = (Candidate("A", "x", 0.5, Kind.MEMBER, "c-1"), Candidate("B", "y", 0.25))
SEARCHED = {"A": StoreView(3, 10), "B": StoreView(0, 1)}
REPLY = QueryReply(SEARCHED, (HITS, ()))


def test_a_call_survives_the_wire() -> None:
    (query,) = unpack_call(pack_call(CALL)).queries
    assert (query.stores, query.top_k, query.exact, query.homes) == (STORES, 2, False, None)
    assert np.array_equal(query.probes, PROBES)


def test_queries_keep_their_probes_and_homes_and_share_their_stores() -> None:
    queries = (
        Query({"C": "k"}, PROBES[1:], 5, exact=True),
        Query(STORES, PROBES, 2, homes=["A", ""]),
        Query(STORES, PROBES[:1], 3),
    )
    read = unpack_call(pack_call(SearchCall("other", queries, 7)))
    assert (read.space, read.remaining_ms) == ("other", 7)
    for sent, got in zip(queries, read.queries, strict=True):
        assert (got.stores, got.top_k, got.exact, got.homes) == (sent.stores, sent.top_k, sent.exact, sent.homes)
        assert np.array_equal(got.probes, sent.probes)
    assert read.queries[1].stores is read.queries[2].stores


def test_a_reply_survives_the_wire() -> None:
    assert unpack_reply(pack_reply([REPLY], CALL), CALL) == (REPLY,)


def test_replies_to_several_queries_keep_their_candidates() -> None:
    other = Candidate("C", "z", -0.5, Kind.STAFF, None, 7)
    call = SearchCall(DLIB_SPACE, (Query({"C": "k"}, PROBES, 1), CALL.queries[0], CALL.queries[0]), 9)
    replies = (QueryReply({"C": StoreView(9, 4)}, ((), (other,))), REPLY, QueryReply(SEARCHED, (HITS[1:], HITS[:1])))
    read = unpack_reply(pack_reply(replies, call), call)
    assert read == replies
    assert read[1].searched is read[2].searched


def scoped() -> SearchCall:
    return SearchCall(DLIB_SPACE, (Query(Scope(STORES), PROBES, top_k=2),), remaining_ms=500)


def test_a_scope_goes_over_the_wire_like_any_mapping_of_its_stores() -> None:
    call = scoped()
    assert pack_call(call) == pack_call(call) == pack_call(CALL)
    assert unpack_reply(pack_reply([REPLY], CALL), call) == (REPLY,)


def test_many_stores_are_read_once_for_as_long_as_they_are_the_same() -> None:
    stores = {f"store-{nth}": "i" for nth in range(100)}
    call = SearchCall(DLIB_SPACE, (Query(Scope(stores), PROBES, top_k=2),), remaining_ms=500)
    first, again = (unpack_call(pack_call(call)).queries[0].stores for _ in range(2))
    assert first == stores
    assert first is again
    other = SearchCall(DLIB_SPACE, (Query(Scope(stores | {"store-7": "j"}), PROBES, top_k=2),), remaining_ms=500)
    assert unpack_call(pack_call(other)).queries[0].stores == stores | {"store-7": "j"}
    views = Views({store: StoreView(1, 2) for store in stores})
    reply = QueryReply(views, ((), ()))
    assert unpack_reply(pack_reply([reply], unpack_call(pack_call(call))), call) == (reply,)


@pytest.mark.parametrize("count", [2, 100])
def test_equal_scopes_of_one_call_are_answered_each_by_itself(count: int) -> None:
    """As in a call that left while the map was read anew, or while stores move."""
    stores = {f"store-{nth}": "i" for nth in range(count)}
    call = SearchCall(DLIB_SPACE, tuple(Query(Scope(stores), PROBES, top_k=2) for _ in range(3)), remaining_ms=500)
    views = [Views({store: StoreView(version, 2) for store in stores}) for version in (1, 1, 2)]
    replies = tuple(QueryReply(searched, ((), ())) for searched in views)
    assert unpack_reply(pack_reply(replies, unpack_call(pack_call(call))), call) == replies


def test_what_is_said_again_of_a_scope_is_read_as_the_same_object_and_what_is_new_as_another() -> None:
    call = scoped()
    newer = REPLY._replace(searched=SEARCHED | {"A": StoreView(4, 10)})
    fewer = QueryReply({"B": StoreView(0, 1)}, (HITS[1:], ()))
    first, again, then, partly, last = (
        unpack_reply(pack_reply([reply], call), call)[0] for reply in (REPLY, REPLY, newer, fewer, REPLY)
    )
    assert first.searched is again.searched
    assert (then.searched, partly, last.searched) == (newer.searched, fewer, SEARCHED)


@pytest.mark.parametrize("searched", [SEARCHED, {"B": StoreView(0, 1)}])
def test_views_are_told_to_each_call_in_the_order_of_its_stores(searched: dict[str, StoreView]) -> None:
    views = Views(searched)
    other_way = SearchCall(DLIB_SPACE, (Query(dict(reversed(STORES.items())), PROBES, top_k=2),), remaining_ms=500)
    fewer = SearchCall(DLIB_SPACE, (Query({"B": "j"}, PROBES, top_k=2),), remaining_ms=500)
    hits = tuple(hit for hit in HITS if hit.store in searched)
    for call in (CALL, CALL, other_way, CALL):
        packed = pack_reply([QueryReply(views, (hits, ()))], call)
        assert packed == pack_reply([QueryReply(searched, (hits, ()))], call)
        assert unpack_reply(packed, call) == (QueryReply(searched, (hits, ())),)
    assert unpack_reply(pack_reply([QueryReply(views, (HITS[1:], ()))], fewer), fewer)[0].searched == {
        "B": StoreView(0, 1)
    }


def test_a_candidate_of_a_store_that_a_scope_was_not_searched_for_is_garbage() -> None:
    call = scoped()
    unpack_reply(pack_reply([REPLY], call), call)
    with pytest.raises(ShardGarbage):
        unpack_reply(pack_reply([REPLY._replace(searched={"B": StoreView(0, 1)})], call), call)


def test_a_store_that_was_not_searched_is_not_in_the_reply() -> None:
    reply = QueryReply({"B": StoreView(0, 1)}, (HITS[1:], ()))
    assert unpack_reply(pack_reply([reply], CALL), CALL) == (reply,)


@pytest.mark.parametrize(
    "known_as",
    [(Kind.VISITOR, None), (Kind.MEMBER, None), (Kind.MEMBER, "c-1"), (Kind.STAFF, None), (Kind.STAFF, "c-1")],
)
def test_who_a_candidate_is_survives_the_wire(known_as: KnownAs) -> None:
    reply = QueryReply({"A": StoreView(3, 10)}, ((Candidate("A", "x", 0.5, *known_as),), ()))
    assert unpack_reply(pack_reply([reply], CALL), CALL) == (reply,)


def call_with(**changes: Any) -> bytes:
    return ormsgpack.packb(ormsgpack.unpackb(pack_call(CALL)) | changes)


def query_with(**changes: Any) -> bytes:
    query = {"scope": 0, "count": 2, "k": 2, "exact": False, "homes": None} | changes
    return call_with(queries=[list(query.values())])


def test_the_queries_of_these_tests_are_read_where_nothing_is_wrong() -> None:
    assert unpack_call(query_with()).queries[0].stores == STORES


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xc1",
        ormsgpack.packb([]),
        ormsgpack.packb({"space": DLIB_SPACE}),
        call_with(probes=b"\x00" * 511),
        call_with(probes=b""),
        call_with(probes="text"),
        call_with(probes=np.full((2, 128), np.nan, dtype="<f4").tobytes()),
        call_with(probes=(PROBES * 1.01).tobytes()),
        call_with(probes=PROBES[:1].tobytes()),
        call_with(d=0),
        call_with(d=-128),
        call_with(space=7),
        call_with(remaining_ms="soon"),
        call_with(scopes=[["A"]]),
        call_with(scopes=[{"A": 1}]),
        call_with(scopes=[b"\xc1"]),
        call_with(scopes=[ormsgpack.packb(["A"])]),
        call_with(scopes=[ormsgpack.packb({"A": 1})]),
        call_with(scopes=[]),
        call_with(queries=[]),
        call_with(queries=[[0, 2, 2, False]]),
        query_with(scope=1),
        query_with(scope=-1),
        query_with(count=0),
        query_with(count=1),
        query_with(count=3),
        query_with(k=0),
        query_with(k=10**6),
        query_with(k="2"),
        query_with(homes=["A"]),
        query_with(homes=["A", 7]),
        query_with(homes=7),
    ],
)
def test_a_call_of_wrong_lengths_or_types_is_malformed(raw: bytes) -> None:
    with pytest.raises(MalformedBody):
        unpack_call(raw)


def reply_with(**changes: Any) -> bytes:
    """One candidate of A for the first probe, and none for the second, but for the changes."""
    alone = QueryReply(SEARCHED, ((Candidate("A", "x", 0.5, Kind.MEMBER, "c-1", 3),), ()))
    return ormsgpack.packb(ormsgpack.unpackb(pack_reply([alone], CALL)) | changes)


def numbers(dtype: str, *values: float) -> bytes:
    return np.array(values, dtype=dtype).tobytes()


def three_candidates() -> bytes:
    """Where two were asked for."""
    none = {"bound": [], "members": [], "kinds": b"vvv", "photos": b"\1\1\1", "faces": ["x", "y", "z"]}
    scores, stores = numbers("<f4", 0.5, 0.4, 0.3), numbers("<i4", 0, 0, 0)
    return reply_with(counts=numbers("<u2", 3, 0), scores=scores, stores=stores, **none)


def test_the_replies_of_these_tests_are_read_where_nothing_is_wrong() -> None:
    (reply,) = unpack_reply(reply_with(), CALL)
    assert reply.candidates == ((Candidate("A", "x", 0.5, Kind.MEMBER, "c-1", 3),), ())


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"<html>",
        ormsgpack.packb([]),
        ormsgpack.packb({}),
        three_candidates(),
        reply_with(counts=b""),
        reply_with(counts=numbers("<u2", 1)),
        reply_with(counts=numbers("<u2", 1, 0, 0)),
        reply_with(counts=numbers("<u2", 0, 0)),
        reply_with(counts=b"\1"),
        reply_with(counts="1"),
        reply_with(scopes=[]),
        reply_with(scopes=[[numbers("<i8", 1), numbers("<i8", 1)]]),
        reply_with(scopes=[[numbers("<i8", 1, 1)]]),
        reply_with(scopes=[[numbers("<i8", -1, 1), numbers("<i8", 0, 1)]]),  # A has a candidate
        reply_with(scopes=[[numbers("<i8", 3, -2), numbers("<i8", 10, 1)]]),
        reply_with(scopes=[[numbers("<i8", 3, 0), numbers("<i8", 10, -1)]]),
        reply_with(stores=numbers("<i4", 2)),
        reply_with(stores=numbers("<i4", -1)),
        reply_with(stores=b""),
        reply_with(faces=["x", "y"]),
        reply_with(faces=[7]),
        reply_with(faces=7),
        reply_with(scores=numbers("<f4", float("nan"))),
        reply_with(scores=numbers("<f4", 1.5)),
        reply_with(scores=b""),
        reply_with(photos=b""),
        reply_with(photos=b"\0"),
        reply_with(photos=["3"]),
        reply_with(kinds=b""),
        reply_with(kinds=b"vv"),
        reply_with(kinds=b"x"),
        reply_with(kinds="v"),
        reply_with(kinds=None),
        reply_with(kinds=b"v"),  # a visitor is nobody's member
        reply_with(members=[]),
        reply_with(members=[7]),
        reply_with(members=["a/b"]),
        reply_with(members=[""]),
        reply_with(bound=[1]),
        reply_with(bound=[-1]),
        reply_with(bound=["0"]),
    ],
)
def test_a_reply_of_wrong_lengths_types_or_stores_is_garbage(raw: bytes) -> None:
    with pytest.raises(ShardGarbage):
        unpack_reply(raw, CALL)


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_reader(raw: bytes) -> None:
    for read, error in ((unpack_call, MalformedBody), (unpack_await, MalformedBody)):
        with pytest.raises(error):
            read(raw)
    with pytest.raises(ShardGarbage):
        unpack_reply(raw, CALL)
