"""The index: many stores in one query, and what it refuses."""

from __future__ import annotations

import time
from collections.abc import Mapping
from math import inf

import pytest

from common.errors import DeadlineExceeded, WrongSpace
from common.types import DLIB_SPACE, StoreView
from common.wire import Query, QueryReply, SearchCall
from shard.answers import Asked
from shard.gallery import Gallery
from shard.shard_index import ServedStore, ShardIndex, Usable
from tests.shard.helpers import empty_store, truth_of, unit


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


def test_queries_of_one_call_are_answered_each_for_its_own_stores_probes_and_homes() -> None:
    index, probes, rows = index_of(6, 40), unit(9, 1), unit(240)
    faces = {f"S{at:04}": {f"f{n}": rows[40 * at + n] for n in range(40)} for at in range(6)}
    every = dict.fromkeys(faces, "i")
    queries = (
        Query({"S0001": "i"}, probes[:1], 3),
        Query(every, probes[1:3], 5, False, ["S0002", ""]),
        Query({"S0002": "i", "S0004": "i"}, probes[3:5], 3),
        Query(every, probes[5:7], 5, False, ["S0000", "S0005"]),
        Query({"S0003": "i"}, probes[7:8], 3, True),
        Query(every, probes[8:9], 300),
    )
    homes = {1: "S0002", 5: "S0000", 6: "S0005"}
    replies = index.answer(SearchCall(DLIB_SPACE, queries, 1000))
    number = 0
    for query, reply in zip(queries, replies, strict=True):
        assert reply.searched.keys() == query.stores.keys()
        for hits in reply.candidates:
            theirs = {store: faces[store] for store in query.stores if store != homes.get(number)}
            assert hits == truth_of(theirs, probes[number], query.top_k)
            number += 1
    assert replies[1].searched is replies[3].searched


def test_stores_of_two_groups_are_searched_as_one_gallery() -> None:
    index, rows = index_of(4, 40), unit(160)
    index.regroup("S0001", "north")
    index.regroup("S0003", "north")
    faces = {f"S{at:04}": {f"f{n}": rows[40 * at + n] for n in range(40)} for at in range(4)}
    reply = search(index, Query(dict.fromkeys(faces, "i"), unit(3, 1), 10, False, ["", "S0001", "S0000"]))
    for home, probe, hits in zip(["", "S0001", "S0000"], unit(3, 1), reply.candidates, strict=True):
        assert hits == truth_of({store: faces[store] for store in faces if store != home}, probe, 10)


def test_a_group_is_gone_with_its_last_store() -> None:
    index = index_of(2, 3)
    index.regroup("S0001", "north")
    assert [group.name for group in index.groups] == ["default", "north"]
    index.remove("S0001")
    index.regroup("S0000", "south")
    assert [(group.name, group.rows.count) for group in index.groups] == [("south", 3)]


def test_what_is_known_of_a_query_is_forgotten_with_the_next_write() -> None:
    index = index_of(3, 4)
    query = Query(dict.fromkeys(index, "i"), unit(12)[:1], 1)
    assert search(index, query).searched["S0002"] == StoreView(4, 4)
    index.apply("S0002", Usable(["new"], unit(1, 9), ["f0"], {}, [1]), 6)
    index.note_due("S0000", 9)
    reply = search(index, query)
    assert reply.searched == {"S0001": StoreView(4, 4), "S0002": StoreView(6, 4)}
    assert search(index, query._replace(probes=unit(1, 9))).candidates[0][0].face_id == "new"


def test_what_was_looked_up_while_a_store_fell_behind_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search looks up on its thread when the replica learns that it lacks acknowledged writes of a store."""
    index = index_of(3, 4)
    query = Query(dict.fromkeys(index, "i"), unit(12)[:1], 1)
    look_up = index._look_up

    def then_due(stores: Mapping[str, str]) -> Asked:
        found = look_up(stores)
        index.note_due("S0000", 9)
        return found

    monkeypatch.setattr(index, "_look_up", then_due)
    search(index, query)
    monkeypatch.undo()
    assert search(index, query).searched.keys() == {"S0001", "S0002"}


def test_a_long_block_of_probes_is_answered_like_each_alone() -> None:
    index, probes = index_of(5, 20), unit(150, 1)
    stores = dict.fromkeys(index, "i")
    together = search(index, Query(stores, probes, 3)).candidates
    assert together == tuple(search(index, Query(stores, probe[None], 3)).candidates[0] for probe in probes)


def test_a_probe_that_passes_over_the_only_store_gets_nobody_however_many_rows_there_are() -> None:
    index, rows = ShardIndex(), unit(500, seed=9)
    index.install("A", empty_store())
    index.apply("A", Usable([f"f{at}" for at in range(500)], rows, [], {}, [1] * 500), 1)
    query = Query({"A": "i"}, rows[:2], 5, homes=["A", ""])
    (reply,) = index.answer(SearchCall(DLIB_SPACE, (query,), 1000))
    assert [len(hits) for hits in reply.candidates] == [0, 5]
