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
from common.wire import Query, QueryReply, SearchCall, pack_call, pack_reply, unpack_await, unpack_call, unpack_reply

PROBES = np.eye(2, 128, dtype=np.float32)
CALL = SearchCall(DLIB_SPACE, (Query({"A": "i", "B": "j"}, PROBES, top_k=2),), remaining_ms=500)
HITS = (Candidate("A", "x", 0.5, Kind.MEMBER, "c-1"), Candidate("B", "y", 0.25))
REPLY = QueryReply({"A": StoreView(3, 10), "B": StoreView(0, 1)}, (HITS, ()))


def test_a_call_survives_the_wire() -> None:
    (query,) = unpack_call(pack_call(CALL)).queries
    assert (query.stores, query.top_k, query.exact) == ({"A": "i", "B": "j"}, 2, False)
    assert np.array_equal(query.probes, PROBES)


def test_a_reply_survives_the_wire() -> None:
    assert unpack_reply(pack_reply([REPLY]), CALL) == (REPLY,)


@pytest.mark.parametrize(
    "known_as",
    [(Kind.VISITOR, None), (Kind.MEMBER, None), (Kind.MEMBER, "c-1"), (Kind.STAFF, None), (Kind.STAFF, "c-1")],
)
def test_who_a_candidate_is_survives_the_wire(known_as: KnownAs) -> None:
    reply = QueryReply({"A": StoreView(3, 10)}, ((Candidate("A", "x", 0.5, *known_as),), ()))
    assert unpack_reply(pack_reply([reply]), CALL) == (reply,)


def call_with(**changes: Any) -> bytes:
    body = ormsgpack.unpackb(pack_call(CALL))
    body["queries"][0] |= changes
    return ormsgpack.packb(body)


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
        call_with(probes=np.full((1, 128), np.nan, dtype="<f4").tobytes()),
        call_with(d=0),
        call_with(d=-128),
        call_with(k=0),
        call_with(k=10**6),
        call_with(stores=["A"]),
        call_with(stores={"A": 1}),
        call_with(probes=(PROBES * 2).tobytes()),
    ],
)
def test_a_call_of_wrong_lengths_or_types_is_malformed(raw: bytes) -> None:
    with pytest.raises(MalformedBody):
        unpack_call(raw)


def reply_with(**changes: Any) -> bytes:
    body = ormsgpack.unpackb(pack_reply([REPLY]))
    body[0] |= changes
    return ormsgpack.packb(body)


def hits(scores: list[float], stores: list[Any], faces: list[Any]) -> list[dict[str, Any]]:
    packed = np.array(scores, dtype="<f4").tobytes()
    known = {"kinds": b"v" * len(scores), "members": [None] * len(scores), "photos": b"\1" * len(scores)}
    none: dict[str, Any] = {"stores": [], "faces": [], "scores": b"", "kinds": b"", "members": [], "photos": b""}
    return [{"stores": stores, "faces": faces, "scores": packed} | known, none]


def known_as(kinds: Any, members: Any, templates: Any = b"\3") -> list[dict[str, Any]]:
    """One candidate whose lists are right but for who it is, or how many templates it has."""
    first, none = hits([0.5], ["A"], ["x"])
    return [first | {"kinds": kinds, "members": members, "photos": templates}, none]


def test_the_hits_of_these_tests_are_read_where_nothing_is_wrong() -> None:
    (reply,) = unpack_reply(reply_with(hits=known_as(b"m", ["c-1"])), CALL)
    assert reply.candidates == ((Candidate("A", "x", 0.5, Kind.MEMBER, "c-1", 3),), ())


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"<html>",
        ormsgpack.packb([]),
        ormsgpack.packb({}),
        pack_reply([REPLY, REPLY]),
        reply_with(hits=[]),
        reply_with(hits=known_as(b"v", [None], b"")),
        reply_with(hits=known_as(b"v", [None], b"\0")),
        reply_with(hits=known_as(b"v", [None], ["3"])),
        reply_with(searched={"Z": [1, 1]}),
        reply_with(searched={"A": [1]}),
        reply_with(hits=hits([0.5], ["A"], ["x", "y"])),
        reply_with(hits=hits([0.5, 0.4, 0.3], ["A"] * 3, ["x", "y", "z"])),
        reply_with(hits=hits([float("nan")], ["A"], ["x"])),
        reply_with(hits=hits([1.5], ["A"], ["x"])),
        reply_with(hits=hits([0.5], ["A"], [7])),
        reply_with(hits=hits([0.5], ["C"], ["x"])),
        reply_with(hits=known_as(b"", [None])),
        reply_with(hits=known_as(b"vv", [None])),
        reply_with(hits=known_as(b"x", [None])),
        reply_with(hits=known_as("v", [None])),
        reply_with(hits=known_as(None, [None])),
        reply_with(hits=known_as(b"m", [])),
        reply_with(hits=known_as(b"m", [7])),
        reply_with(hits=known_as(b"m", ["a/b"])),
        reply_with(hits=known_as(b"m", [""])),
        reply_with(hits=known_as(b"v", ["c-1"])),  # a visitor is nobody's member
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
