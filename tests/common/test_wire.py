"""The wire checks every length and type; what a peer sends wrong is an error, never a crash or a wrong answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import ormsgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import MalformedBody, ShardGarbage
from common.types import DLIB_SPACE, Candidate, StoreView
from common.wire import Query, QueryReply, SearchCall, pack_call, pack_reply, unpack_await, unpack_call, unpack_reply

PROBES = np.eye(2, 128, dtype=np.float32)
CALL = SearchCall(DLIB_SPACE, (Query({"A": "i", "B": "j"}, PROBES, top_k=2),), remaining_ms=500)
HITS = (Candidate("A", "x", 0.5), Candidate("B", "y", 0.25))
REPLY = QueryReply({"A": StoreView(3, 10), "B": StoreView(0, 1)}, (HITS, ()))


def test_a_call_survives_the_wire() -> None:
    (query,) = unpack_call(pack_call(CALL)).queries
    assert (query.stores, query.top_k, query.exact) == ({"A": "i", "B": "j"}, 2, False)
    assert np.array_equal(query.probes, PROBES)


def test_a_reply_survives_the_wire() -> None:
    assert unpack_reply(pack_reply([REPLY]), CALL) == (REPLY,)


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
    return [{"stores": stores, "faces": faces, "scores": packed}, {"stores": [], "faces": [], "scores": b""}]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"<html>",
        ormsgpack.packb([]),
        ormsgpack.packb({}),
        pack_reply([REPLY, REPLY]),
        reply_with(hits=[]),
        reply_with(searched={"Z": [1, 1]}),
        reply_with(searched={"A": [1]}),
        reply_with(hits=hits([0.5], ["A"], ["x", "y"])),
        reply_with(hits=hits([0.5, 0.4, 0.3], ["A"] * 3, ["x", "y", "z"])),
        reply_with(hits=hits([float("nan")], ["A"], ["x"])),
        reply_with(hits=hits([1.5], ["A"], ["x"])),
        reply_with(hits=hits([0.5], ["A"], [7])),
        reply_with(hits=hits([0.5], ["C"], ["x"])),
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
