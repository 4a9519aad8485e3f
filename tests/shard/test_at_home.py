"""Searches at home: what is answered on the short way is the answer, and the long way is taken where it has to be."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.types import DLIB_SPACE, Candidate, Kind, StoreView, Vectors
from common.wire import Query, QueryReply, SearchCall
from shard import shard_index
from shard.at_home import SPARE
from shard.gallery import Gallery
from shard.shard_index import ServedStore, ShardIndex
from tests.shard.helpers import truth_of, unit

TOP_K = 3
LEAST = TOP_K + SPARE
"""rows of a store that is not too small"""


def index_of(stores: dict[str, Vectors], **groups: str) -> ShardIndex:
    """Of each store the rows; all are of one group but for those named."""
    index = ShardIndex()
    for store, rows in stores.items():
        gallery = Gallery(rows.shape[1])
        gallery.put([f"{store}-{at}" for at in range(len(rows))], rows)
        index.install(store, ServedStore("i", DLIB_SPACE, gallery, 7, 0, groups.get(store, "default")))
    return index


def asked(*queries: tuple[str, Vectors]) -> SearchCall:
    return SearchCall(DLIB_SPACE, tuple(Query({store: "i"}, probes, TOP_K) for store, probes in queries), 1000)


def at_home(index: ShardIndex, call: SearchCall, most: int = 10**9) -> tuple[QueryReply, ...] | None:
    return index.answer_at_home(call, most)


def in_truth(stores: dict[str, Vectors], store: str, probe: Vectors) -> tuple[Candidate, ...]:
    faces = {f"{store}-{at}": row for at, row in enumerate(stores[store])}
    return truth_of({store: faces}, probe, TOP_K)


@given(
    sizes=st.lists(st.integers(LEAST, 300), min_size=1, max_size=5),
    queries=st.lists(st.tuples(st.integers(0, 4), st.integers(1, 30)), min_size=1, max_size=6),
    seed=st.integers(0, 10_000),
)
def test_the_answers_are_those_of_one_product_a_store(
    sizes: list[int], queries: list[tuple[int, int]], seed: int
) -> None:
    stores = {f"S{at}": unit(size, seed + at) for at, size in enumerate(sizes)}
    call = asked(*[(f"S{at % len(sizes)}", unit(probes, seed + 10 + at)) for at, probes in queries])
    replies = at_home(index_of(stores), call)
    assert replies is not None
    for query, reply in zip(call.queries, replies, strict=True):
        (store,) = query.stores
        assert reply.searched == {store: StoreView(7, len(stores[store]))}
        assert list(reply.candidates) == [in_truth(stores, store, probe) for probe in query.probes]


def test_a_large_store_is_left_to_the_codes_of_its_group(monkeypatch: pytest.MonkeyPatch) -> None:
    index = index_of({"A": unit(20)})
    monkeypatch.setattr(shard_index, "SCANNED_ROWS", 19)
    assert at_home(index, asked(("A", unit(1)))) is not None
    (group,) = index.groups
    monkeypatch.setattr(group, "codes", object())
    assert at_home(index, asked(("A", unit(1)))) is None
    monkeypatch.setattr(shard_index, "SCANNED_ROWS", 20)
    assert at_home(index, asked(("A", unit(1)))) is not None


def test_members_and_photos_are_told() -> None:
    rows = unit(20)
    gallery = Gallery(128)
    known = {"f1": (Kind.MEMBER, "ada"), "f2": (Kind.STAFF, None)}
    gallery.put([f"f{at}" for at in range(20)], rows, known, range(1, 21))
    index = ShardIndex()
    index.install("A", ServedStore("i", DLIB_SPACE, gallery, 7))
    replies = at_home(index, asked(("A", rows[:3])))
    assert replies is not None
    who = [(hits[0].face_id, hits[0].kind, hits[0].member_id, hits[0].photos) for hits in replies[0].candidates]
    assert who == [
        ("f0", Kind.VISITOR, None, 1),
        ("f1", Kind.MEMBER, "ada", 2),
        ("f2", Kind.STAFF, None, 3),
    ]


@pytest.mark.parametrize(("first", "last"), [(0, 1), (TOP_K - 1, TOP_K), (0, TOP_K + SPARE)])
def test_faces_that_tie_are_left_to_the_long_way(first: int, last: int) -> None:
    """Counted by their place in the answer; at its end, too, where one of them belongs to it."""
    probe, rows = unit(1, 1), unit(50)
    rows = rows[(-rows @ probe[0]).argsort()]
    rows[first : last + 1] = rows[first]
    index, call = index_of({"A": rows}), asked(("A", probe))
    assert at_home(index, call) is None
    assert index.answer(call)[0].candidates == (in_truth({"A": rows}, "A", probe[0]),)


def test_rows_that_look_as_good_as_the_last_of_the_answer_are_left_to_the_long_way() -> None:
    """Their exact scores differ, by less than float32 sums can tell."""
    probe, rows = unit(1, 1), unit(50)
    rows[: 2 * LEAST] = probe * (1 - 2e-7 * np.arange(2 * LEAST, dtype=np.float32))[:, None]
    index, call = index_of({"A": rows}), asked(("A", probe))
    assert at_home(index, call) is None
    assert index.answer(call)[0].candidates == (in_truth({"A": rows}, "A", probe[0]),)


def test_whatever_else_is_asked_for_is_left_to_the_long_way() -> None:
    stores = {"A": unit(50), "B": unit(50, 1), "small": unit(LEAST - 1, 2), "elsewhere": unit(50, 3)}
    index, probe = index_of(stores, elsewhere="other"), unit(1, 9)
    good = asked(("A", probe), ("B", probe))
    assert at_home(index, good) is not None
    for other in ("small", "elsewhere", "nowhere"):
        assert at_home(index, asked(("A", probe), (other, probe))) is None
    a, b = good.queries
    for odd in (
        b._replace(stores={"B": "an older one"}),
        b._replace(stores={"A": "i", "B": "i"}),
        b._replace(stores={}),
        b._replace(homes=["A"]),
        b._replace(top_k=TOP_K + 1),
        b._replace(probes=unit(1, dimension=64)),
    ):
        assert at_home(index, SearchCall(DLIB_SPACE, (a, odd), 1000)) is None
    assert at_home(index, SearchCall("another", (a, b), 1000)) is None
    assert at_home(index, SearchCall(DLIB_SPACE, (), 1000)) is None
    index.note_due("B", 8)
    assert at_home(index, good) is None
    assert index.answer(good)[1].searched == {}


def test_no_more_products_than_allowed() -> None:
    index = index_of({"A": unit(50), "B": unit(60, 1)})
    call = asked(("A", unit(2)), ("B", unit(1)))
    assert at_home(index, call, 159) is None
    assert at_home(index, call, 160) == index.answer(call, inf)
