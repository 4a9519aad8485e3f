"""The coder beside searches and writes: codes come, are kept in step, and go, and no answer shows it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest

from common.types import DLIB_SPACE, Candidate, Vectors
from common.wire import Query, SearchCall
from shard import nominees, recipe
from shard.coder import FRESH_ROWS, Coder
from shard.codes import Codes
from shard.gate import Gate
from shard.group import Group
from shard.products import nearest
from shard.recipe import Recipe, Recipes
from shard.shard_index import ShardIndex, Usable
from tests.bench.faces import Faces
from tests.shard.helpers import empty_store, eventually, unit

FACES = Faces.load()
ROWS = FACES.rows(6000, seed=1)
STRANGERS = FACES.strangers(200, seed=2)
EACH = 500


@pytest.fixture(autouse=True)
def codes_from_a_thousand_rows_on() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipe, "CODED_FROM", 1000)
        patch.setattr(nominees, "SCANNED_ROWS", 500)
        yield


def filled(rows: Vectors = ROWS) -> ShardIndex:
    """Face n is `f<n>`, in store n // EACH."""
    index = ShardIndex()
    for first in range(0, len(rows), EACH):
        index.install(f"S{first // EACH}", empty_store())
        put(index, dict(enumerate(rows[first : first + EACH], first)))
    return index


def put(index: ShardIndex, faces: dict[int, Vectors], store: str = "") -> None:
    name = store or f"S{next(iter(faces)) // EACH}"
    names = [f"f{number}" for number in faces]
    index.apply(name, Usable(names, np.array(list(faces.values())), [], {}, [1] * len(faces)), 1)


def drop(index: ShardIndex, first: int, count: int) -> None:
    names = [f"f{number}" for number in range(first, first + count)]
    index.apply(f"S{first // EACH}", Usable([], np.empty((0, 128), dtype=np.float32), names, {}, []), 2)


def search(
    index: ShardIndex, probes: Vectors, top_k: int = 1, *, exact: bool = False
) -> tuple[tuple[Candidate, ...], ...]:
    query = Query(dict.fromkeys(index, "i"), probes, top_k, exact)
    return index.answer(SearchCall(DLIB_SPACE, (query,), 1000))[0].candidates


def numbers(found: tuple[tuple[Candidate, ...], ...]) -> list[int]:
    return [int(hits[0].face_id[1:]) for hits in found]


def codes_of(index: ShardIndex) -> Codes:
    codes = only_group(index).codes
    assert codes is not None
    return codes


def only_group(index: ShardIndex) -> Group:
    (group,) = index.groups
    return group


async def settled(index: ShardIndex, recipes: Recipes | None = None) -> Coder:
    coder = Coder(index, Gate(), recipes or Recipes())
    await coder.settle()
    return coder


async def test_codes_find_the_nearest_of_rows_that_are_spread_as_those_of_faces() -> None:
    """All of them share a large mean: 20 nominees by inner product instead of distance would miss too many."""
    index = filled()
    await settled(index)
    group = only_group(index)
    assert (group.view.index, group.view.coded) == ("PCAR64,PQ64x4fs", len(ROWS))
    assert group.recall is not None
    assert group.recall >= 0.98
    best = nearest(STRANGERS, ROWS, 1)[1][:, 0]
    few = group.rows.vectors[codes_of(index).nominate(STRANGERS, 20)]
    assert np.mean((few == ROWS[best][:, None]).all(axis=2).any(axis=1)) >= 0.99
    assert numbers(search(index, STRANGERS)) == best.tolist()


async def test_rows_spread_evenly_get_codes_of_plain_rows_once() -> None:
    rows = unit(2000, 3)
    index = filled(rows)
    coder = await settled(index)
    codes = codes_of(index)
    assert only_group(index).view.index == "PQ64x4fs"
    assert numbers(search(index, rows[:50])) == list(range(50))
    await coder.settle()
    assert codes_of(index) is codes


async def test_codes_in_lists_find_the_same_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe, "LISTS", ((2000, 16, 12),))
    index = filled()
    await settled(index)
    assert only_group(index).view.index == "PCAR64,IVF16,PQ64x4fs"
    found = search(index, STRANGERS, 5)
    truth = search(index, STRANGERS, 5, exact=True)
    assert np.mean([one[0] == other[0] for one, other in zip(found, truth, strict=True)]) >= 0.99
    home = ROWS[:EACH:50]
    query = Query(dict.fromkeys(index, "i"), home, 5, homes=["S0"] * len(home))
    (reply,) = index.answer(SearchCall(DLIB_SPACE, (query,), 1000))
    assert all(len(hits) == 5 and all(hit.store != "S0" for hit in hits) for hits in reply.candidates)


async def test_what_is_written_while_codes_are_built_is_seen_at_once_and_afterwards() -> None:
    index = filled()
    building = asyncio.create_task(settled(index))
    await eventually(lambda: only_group(index).rows.watchers)
    drop(index, 1000, 100)
    new = unit(3, 9)
    put(index, {2000: new[0], 2001: new[1]})
    put(index, {9000: new[2]}, "S3")
    probes = np.concatenate([ROWS[1000:1100], new, ROWS[2000:2002]])

    def check() -> None:
        found = numbers(search(index, probes))
        assert not set(found) & set(range(1000, 1100))
        assert found[100:103] == [2000, 2001, 9000]
        assert not {2000, 2001} & set(found[103:])

    assert only_group(index).codes is None
    check()
    await building
    assert len(codes_of(index)) >= 5800
    check()


async def test_a_dropped_face_is_hidden_at_once_and_its_code_goes_when_many_are_dead() -> None:
    index = filled()
    coder = await settled(index)
    drop(index, 0, 400)
    assert not set(numbers(search(index, ROWS[:400]))) & set(range(400))
    await coder.settle()
    assert len(codes_of(index)) == 6000  # 1/15 of them are dead: not worth it yet
    drop(index, 500, 400)
    await coder.settle()
    assert len(codes_of(index)) == 5200
    assert numbers(search(index, ROWS[400:500])) == list(range(400, 500))


async def test_fresh_rows_are_found_before_they_have_a_code_and_get_one_when_they_are_many() -> None:
    index = filled()
    coder = await settled(index)
    rows = FACES.rows(700, seed=5)
    index.install("new", empty_store())
    put(index, {10_000 + n: row for n, row in enumerate(rows[:FRESH_ROWS])}, "new")
    await coder.settle()
    assert only_group(index).view.coded == 6000
    assert numbers(search(index, rows[:FRESH_ROWS])) == list(range(10_000, 10_000 + FRESH_ROWS))
    put(index, {10_000 + n: row for n, row in enumerate(rows)}, "new")
    await coder.settle()
    assert only_group(index).view.coded >= 6700 - FRESH_ROWS
    assert numbers(search(index, rows)) == list(range(10_000, 10_700))


async def test_a_group_that_shrinks_is_scanned_again() -> None:
    index = filled(ROWS[:1500])
    coder = await settled(index)
    assert codes_of(index)
    drop(index, 0, 500)
    index.remove("S1")
    await coder.settle()
    assert codes_of(index)  # half of what gave it codes, and a little more
    drop(index, 1000, 10)
    await coder.settle()
    assert only_group(index).codes is None
    assert only_group(index).rows.watchers == []
    assert numbers(search(index, ROWS[1010:1020])) == list(range(1010, 1020))


async def test_codes_that_cannot_be_built_leave_a_scan_and_are_tried_again_at_twice_the_rows(
    caplog: pytest.LogCaptureFixture,
) -> None:
    index = filled(ROWS[:2000])
    coder = await settled(index, Recipes("IVF3000,Flat", "nprobe=3000"))
    await coder.settle()
    assert caplog.text.count("gets no codes IVF3000,Flat at 2000 rows") == 1
    assert numbers(search(index, ROWS[:50])) == list(range(50))
    index.install("more", empty_store())
    put(index, dict(enumerate(ROWS[2000:4000], 2000)), "more")
    await coder.settle()
    assert codes_of(index).recipe == Recipe("IVF3000,Flat", "nprobe=3000")
    assert numbers(search(index, ROWS[:50])) == list(range(50))


async def test_codes_with_little_recall_are_reported(caplog: pytest.LogCaptureFixture) -> None:
    index = filled()
    await settled(index, Recipes("IVF64,PQ2x4fs", "nprobe=1"))
    recall = only_group(index).recall
    assert recall is not None
    assert recall < 0.9
    (said,) = (record for record in caplog.records if "recall" in record.getMessage())
    assert said.levelname == "WARNING"
    assert only_group(index).view.recall == recall


async def test_a_build_that_is_cut_off_leaves_nothing_behind() -> None:
    index = filled()
    building = asyncio.create_task(settled(index))
    await eventually(lambda: only_group(index).rows.watchers)
    building.cancel()
    with pytest.raises(asyncio.CancelledError):
        await building
    assert (only_group(index).codes, only_group(index).rows.watchers) == (None, [])
    await settled(index)
    assert len(codes_of(index)) == 6000


async def test_exact_searches_rank_ties_although_there_are_codes() -> None:
    index = filled()
    index.install("twins", empty_store())
    put(index, {20_000 + n: ROWS[7] for n in range(600)}, "twins")
    await settled(index)
    (hits,) = search(index, ROWS[7:8], 100, exact=True)
    assert [hit.face_id for hit in hits] == ["f7", *(f"f{20_000 + n}" for n in range(99))]


async def test_a_few_stores_of_a_coded_group_are_scanned() -> None:
    index = filled()
    await settled(index)
    query = Query({"S1": "i"}, STRANGERS[:20], 3, False, None)
    (reply,) = index.answer(SearchCall(DLIB_SPACE, (query,), 1000))
    best = nearest(STRANGERS[:20], ROWS[500:1000], 1)[1][:, 0]
    assert [int(hits[0].face_id[1:]) - 500 for hits in reply.candidates] == best.tolist()


async def test_probes_pass_over_their_homes_also_by_codes() -> None:
    index = filled()
    await settled(index)
    homes = [f"S{number // EACH}" for number in range(0, 6000, 60)]
    query = Query(dict.fromkeys(index, "i"), np.ascontiguousarray(ROWS[::60]), 5, False, homes)
    (reply,) = index.answer(SearchCall(DLIB_SPACE, (query,), 1000))
    for home, hits in zip(homes, reply.candidates, strict=True):
        assert len(hits) == 5
        assert home not in {hit.store for hit in hits}


async def test_a_defect_does_not_end_the_coder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shard.coder.RETRY_S", 0.0)
    index = ShardIndex()
    coder = Coder(index, Gate(), Recipes(), wait=lambda: False)
    tried = 0

    async def settle() -> None:
        nonlocal tried
        tried += 1
        if tried < 3:
            raise KeyError("a defect")

    monkeypatch.setattr(coder, "settle", settle)
    running = asyncio.create_task(coder.run())
    index.written.set()
    await eventually(lambda: tried == 3)
    running.cancel()


async def test_what_codes_answer_counts_little_and_what_is_scanned_all_the_same_counts_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So that it is known which calls need a thread: where the probe's home has most rows, too few others are
    nominated."""
    monkeypatch.setattr(nominees, "CODED_AS", 1000)
    monkeypatch.setattr(nominees, "CODES_AS_ROW", 100)
    monkeypatch.setattr(nominees, "MOST_DEPTH", 100)
    index = filled()
    index.install("large", empty_store())
    put(index, dict(enumerate(FACES.rows(4000, seed=3), 10_000)), "large")
    stores = dict.fromkeys(index, "i")

    def products(home: str, *, exact: bool = False) -> int:
        query = Query(stores, STRANGERS[:1], 5, exact=exact, homes=[home])
        return index.products(SearchCall(DLIB_SPACE, (query,), 1000))

    assert products("S0") == 10_000
    await settled(index)
    assert products("S0") == 1100
    assert products("S0", exact=True) == products("large") == 10_000
