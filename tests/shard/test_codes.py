"""Codes against a plain dict: with as many nominees as there are codes, their answers are those of a scan."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from common.errors import InvalidIndex
from common.types import DLIB_SPACE, Vectors
from common.wire import Query, SearchCall
from shard import nominees
from shard.codes import Codes
from shard.group import Group
from shard.products import use_one_openmp_thread
from shard.recipe import DEPTH, PROJECTED_DEPTH, Recipe, Recipes
from shard.rows import Slots
from shard.shard_index import ShardIndex, Usable
from tests.bench.faces import Faces
from tests.shard.helpers import empty_store, truth_of, unit

D = 8
POOL = unit(200, seed=5, dimension=D)
STORES = [f"S{at}" for at in range(4)]
PQ = Recipe("PQ4x4fs", depth=1_000)
TRAINED_ON = unit(700, seed=6, dimension=D)


class CodesInStep(RuleBasedStateMachine):
    """Writes of every kind, with codes that serve, that are being built, and that were given up, all the while."""

    def __init__(self) -> None:
        super().__init__()
        self.index, self.model = ShardIndex(), {store: dict[str, Vectors]() for store in STORES}
        self.next: Codes | None = None
        self.chunk: tuple[Slots, Vectors] | None = None

    @initialize()
    def open_stores(self) -> None:
        for store in STORES:
            self.index.install(store, empty_store(D))

    @property
    def group(self) -> Group:
        return self.index.groups[0]

    @rule(store=st.sampled_from(STORES), first=st.integers(0, 199), count=st.integers(1, 60), names=st.integers(0, 100))
    def put(self, store: str, first: int, count: int, names: int) -> None:
        faces = {f"f{names + nth}": POOL[(first + nth) % 200] for nth in range(count)}
        self.model[store] |= faces
        self.index.apply(store, Usable(list(faces), np.array(list(faces.values())), [], {}, [1] * count), 1)

    @rule(store=st.sampled_from(STORES), every=st.integers(1, 5))
    def drop(self, store: str, every: int) -> None:
        gone = list(self.model[store])[::every]
        for face in gone:
            del self.model[store][face]
        self.index.apply(store, Usable([], np.empty((0, D), dtype=np.float32), gone, {}, []), 1)

    @rule(store=st.sampled_from(STORES))
    def load_again(self, store: str) -> None:
        """What was served is replaced by an empty store."""
        self.model[store] = {}
        self.index.install(store, empty_store(D))

    @precondition(lambda self: self.next is None)
    @rule()
    def begin(self) -> None:
        rows = self.group.rows
        self.next = Codes(PQ, TRAINED_ON, rows.count)
        self.next.follow(rows)

    @precondition(lambda self: self.next is not None and self.chunk is None)
    @rule(most=st.integers(1, 100))
    def code(self, most: int) -> None:
        assert self.next is not None
        slots = self.next.fresh(self.group.rows)[:most]
        self.chunk = slots, self.group.rows.vectors[slots]
        self.next.add(self.chunk[1])

    @precondition(lambda self: self.chunk is not None)
    @rule()
    def register(self) -> None:
        assert self.next is not None
        assert self.chunk is not None
        self.next.register(*self.chunk, self.group.rows)
        self.chunk = None

    @precondition(lambda self: self.next is not None and self.chunk is None)
    @rule()
    def swap(self) -> None:
        if self.group.codes is not None:
            self.group.rows.watchers.remove(self.group.codes)
        self.group.codes, self.next = self.next, None

    @invariant()
    def every_live_row_is_coded_or_fresh_and_nothing_else_is_found(self) -> None:
        for codes in (self.group.codes, self.next) if self.index.groups else ():
            if codes is None or self.chunk is not None:
                continue
            nominated = codes.nominate(POOL[:1], max(1, len(codes)))[0]
            coded, fresh = nominated[nominated >= 0], codes.fresh(self.group.rows)
            assert codes.dead(self.group.rows) == len(codes) - len(coded)
            assert sorted([*coded, *fresh]) == np.flatnonzero(self.group.rows.owners >= 0).tolist()

    @rule()
    def answers_are_those_of_one_product_over_all_rows(self) -> None:
        if not self.index.groups:
            return
        probes = np.ascontiguousarray(POOL[[0, 77, 150]] @ np.diag([-1.0] * 4 + [1.0] * 4).astype(np.float32))
        homes = ["S0", "", "S3"]
        asked = [STORES, STORES[:2], STORES[3:]]
        queries = [Query(dict.fromkeys(stores, "i"), probes, 4, False, homes) for stores in asked]
        queries += [Query(dict.fromkeys(stores, "i"), probes, 4) for stores in asked]
        replies = self.index.answer(SearchCall(DLIB_SPACE, tuple(queries), 1000))
        for query, reply in zip(queries, replies, strict=True):
            for probe, home, hits in zip(probes, query.homes or [""] * 3, reply.candidates, strict=True):
                there = {store: self.model[store] for store in query.stores if store != home}
                assert [hit.score for hit in hits] == [hit.score for hit in truth_of(there, probe, 4)]
                assert all(
                    np.array_equal(there[hit.store][hit.face_id], self.row_of(hit.store, hit.face_id)) for hit in hits
                )

    def row_of(self, store: str, face_id: str) -> Vectors:
        gallery = self.index[store].gallery
        row: Vectors = gallery.rows[gallery.ids.every().index(face_id)]
        return row


@pytest.fixture(scope="module", autouse=True)
def nominate_everything() -> object:
    use_one_openmp_thread()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nominees, "SCANNED_ROWS", 0)
        patch.setattr(nominees, "MOST_DEPTH", 10**9)
        yield


TestCodesInStep = CodesInStep.TestCase
TestCodesInStep.settings = settings(max_examples=30, stateful_step_count=40)


@pytest.mark.parametrize(
    ("index", "parameters", "field"),
    [
        ("nonsense", "", "index"),
        ("PQ7x4fs", "", "index"),
        ("IVF16,Flat", "nprob=4", "index_parameters"),
        ("auto", "nprobe=4", "index_parameters"),
        ("flat", "nprobe=4", "index_parameters"),
    ],
)
def test_what_faiss_does_not_understand_is_refused_by_the_setting_that_says_it(
    index: str, parameters: str, field: str
) -> None:
    with pytest.raises(InvalidIndex) as refused:
        Recipes(index, parameters)
    assert refused.value.field == field
    assert refused.value.detail.startswith(f"FACEGRID_{field.upper()}: ")


def test_a_factory_string_is_taken_as_it_is_from_so_many_rows_on() -> None:
    recipes = Recipes("IVF1024,Flat", "nprobe=16")
    assert recipes.of(1_000_000, 128) == Recipe("IVF1024,Flat", "nprobe=16")
    assert recipes.of(1_000, 128) is None
    assert Recipes("flat").of(1_000_000, 128) is None


def test_the_more_rows_the_more_lists_their_codes_are_in() -> None:
    sizes = (19_999, 20_000, 50_000, 250_000, 3_000_000)
    found = [Recipes().of(rows, 128) for rows in sizes]
    assert found == [
        None,
        projected("PQ64x4fs", 64),
        projected("IVF64,PQ64x4fs", 64, "nprobe=40"),
        projected("IVF256,PQ64x4fs", 64, "nprobe=112"),
        projected("IVF1024,PQ64x4fs", 64, "nprobe=288"),
    ]
    assert [recipe.index(128).d for recipe in found if recipe is not None] == [128] * 4
    assert Recipes().of(20_000, 512) == projected("PQ256x4fs", 256)


def projected(codes: str, numbers: int, parameters: str = "") -> Recipe:
    return Recipe(f"PCAR{numbers},{codes}", parameters, PROJECTED_DEPTH, Recipe(codes, parameters))


def test_rows_spread_evenly_over_all_directions_are_not_projected() -> None:
    recipe = Recipes().of(20_000, 128)
    assert recipe is not None
    assert recipe.suited(Faces.load().rows(3_000, seed=1)) == recipe
    assert recipe.suited(unit(3_000, seed=1)) == Recipe("PQ64x4fs", depth=DEPTH)
