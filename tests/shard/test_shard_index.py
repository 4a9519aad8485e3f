"""The index: many stores in one query, and what it refuses."""

from __future__ import annotations

import time
from math import inf

import pytest

from common.errors import DeadlineExceeded, WrongSpace
from common.types import DLIB_SPACE, StoreView
from common.wire import Query, QueryReply, SearchCall
from shard.gallery import Gallery
from shard.shard_index import ServedStore, ShardIndex
from tests.shard.helpers import truth_of, unit


def search(index: ShardIndex, query: Query, space: str = DLIB_SPACE, give_up_at: float = inf) -> QueryReply:
    return index.answer(SearchCall(space, (query,), 1000), give_up_at)[0]


def index_of(stores: int, rows_each: int) -> ShardIndex:
    index = ShardIndex()
    rows = unit(stores * rows_each)
    for at in range(stores):
        gallery = Gallery(128)
        of_store = rows[at * rows_each : (at + 1) * rows_each]
        gallery.put([f"f{n}" for n in range(rows_each)], of_store)
        index.install(f"S{at:04}", ServedStore("i", DLIB_SPACE, gallery, rows_each))
    return index


def test_a_thousand_stores_are_searched_as_one_gallery() -> None:
    index, probes = index_of(1000, 5), unit(2, 1)
    stores = dict.fromkeys(index.views(), "i")
    reply = search(index, Query(stores, probes, 10))
    rows = unit(5000)
    faces = {f"S{at:04}": {f"f{n}": rows[5 * at + n] for n in range(5)} for at in range(1000)}
    assert list(reply.candidates) == [truth_of(faces, probe, 10) for probe in probes]
    assert reply.searched == dict.fromkeys(stores, StoreView(5, 5))


def test_a_store_that_is_not_served_is_not_among_the_searched() -> None:
    reply = search(index_of(2, 3), Query({"S0000": "i", "nowhere": "i"}, unit(1, 1), 5))
    assert reply.searched == {"S0000": StoreView(3, 3)}
    assert {candidate.store for candidate in reply.candidates[0]} == {"S0000"}


def test_an_empty_store_is_searched_and_gives_nothing() -> None:
    index = ShardIndex()
    index.install("A", ServedStore("i", DLIB_SPACE, Gallery(128), 7))
    reply = search(index, Query({"A": "i"}, unit(2), 5))
    assert reply.searched == {"A": StoreView(7, 0)}
    assert reply.candidates == ((), ())


def test_another_creation_of_a_store_is_not_the_one_asked_for() -> None:
    reply = search(index_of(1, 3), Query({"S0000": "an older one"}, unit(1, 1), 10))
    assert (reply.searched, reply.candidates) == ({}, ((),))
    assert index_of(1, 3).version("S0000", "an older one") == 0
    assert index_of(1, 3).version("S0000", "i") == 3


def test_probes_of_another_space_or_dimension_are_refused() -> None:
    index = index_of(1, 3)
    with pytest.raises(WrongSpace, match="another-space"):
        search(index, Query({"S0000": "i"}, unit(1), 5), "another-space")
    with pytest.raises(WrongSpace, match="of 64"):
        search(index, Query({"S0000": "i"}, unit(1, dimension=64), 5))


def test_a_search_stops_when_its_time_is_over() -> None:
    with pytest.raises(DeadlineExceeded):
        search(index_of(1, 3), Query({"S0000": "i"}, unit(1), 5), give_up_at=time.monotonic())
