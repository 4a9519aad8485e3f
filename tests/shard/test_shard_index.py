"""The index: many stores in one query, and what it refuses."""

from __future__ import annotations

import time

import pytest

from common.errors import DeadlineExceeded, WrongSpace
from common.types import DLIB_SPACE, StoreView
from common.wire import Query
from shard.gallery import Gallery
from shard.shard_index import ServedStore, ShardIndex
from tests.shard.helpers import truth_of, unit


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
    reply = index.search(Query(stores, probes, 10), DLIB_SPACE)
    rows = unit(5000)
    faces = {f"S{at:04}": {f"f{n}": rows[5 * at + n] for n in range(5)} for at in range(1000)}
    assert list(reply.candidates) == [truth_of(faces, probe, 10) for probe in probes]
    assert reply.searched == dict.fromkeys(stores, StoreView(5, 5))


def test_a_store_that_is_not_served_is_not_among_the_searched() -> None:
    reply = index_of(2, 3).search(Query({"S0000": "i", "nowhere": "i"}, unit(1, 1), 5), DLIB_SPACE)
    assert reply.searched == {"S0000": StoreView(3, 3)}
    assert {candidate.store for candidate in reply.candidates[0]} == {"S0000"}


def test_an_empty_store_is_searched_and_gives_nothing() -> None:
    index = ShardIndex()
    index.install("A", ServedStore("i", DLIB_SPACE, Gallery(128), 7))
    reply = index.search(Query({"A": "i"}, unit(2), 5), DLIB_SPACE)
    assert reply.searched == {"A": StoreView(7, 0)}
    assert reply.candidates == ((), ())


def test_another_creation_of_a_store_is_not_the_one_asked_for() -> None:
    reply = index_of(1, 3).search(Query({"S0000": "an older one"}, unit(1, 1), 10), DLIB_SPACE)
    assert (reply.searched, reply.candidates) == ({}, ((),))
    assert index_of(1, 3).version("S0000", "an older one") == 0
    assert index_of(1, 3).version("S0000", "i") == 3


def test_probes_of_another_space_or_dimension_are_refused() -> None:
    index = index_of(1, 3)
    with pytest.raises(WrongSpace, match="another-space"):
        index.search(Query({"S0000": "i"}, unit(1), 5), "another-space")
    with pytest.raises(WrongSpace, match="of 64"):
        index.search(Query({"S0000": "i"}, unit(1, dimension=64), 5), DLIB_SPACE)


def test_a_search_stops_when_its_time_is_over() -> None:
    with pytest.raises(DeadlineExceeded):
        index_of(1, 3).search(Query({"S0000": "i"}, unit(1), 5), DLIB_SPACE, give_up_at=time.monotonic())
