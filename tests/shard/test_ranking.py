"""The ranking against one numpy product: scores, order and ties, over any number of galleries."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.types import DLIB_SPACE, Candidate, Vectors
from shard.gallery import Gallery
from shard.group import Group
from shard.nominees import Part
from shard.ranking import Piece
from shard.ranking import best as best_of
from tests.shard.helpers import truth_of, unit

BASE = unit(6, 3)
"""few different rows, so that most faces tie"""


def galleries_of(faces: dict[str, dict[str, Vectors]]) -> Part:
    """All of them, in one group."""
    group = Group("default", DLIB_SPACE, 128)
    for store, rows in faces.items():
        gallery = Gallery(128)
        gallery.put(list(rows), np.array(list(rows.values())))
        group.admit(store, gallery)
    return Part.of(group, group.galleries)


def best(part: Part, probes: Vectors, top_k: int) -> list[tuple[Candidate, ...]]:
    return best_of([Piece(part, probes)], top_k)


@given(
    stores=st.dictionaries(st.sampled_from("ABCDE"), st.lists(st.integers(0, 5), min_size=1, max_size=40), min_size=1),
    probe=st.integers(0, 5),
    top_k=st.integers(1, 100),
    order=st.randoms(use_true_random=False),
)
def test_ties_are_ordered_by_store_and_face_as_in_one_sort(
    stores: dict[str, list[int]], probe: int, top_k: int, order: random.Random
) -> None:
    shuffled = {store: order.sample(list(enumerate(rows)), len(rows)) for store, rows in stores.items()}
    faces = {store: {f"f{at:02}": BASE[row] for at, row in rows} for store, rows in shuffled.items()}
    assert best(galleries_of(faces), BASE[probe : probe + 1], top_k) == [truth_of(faces, BASE[probe], top_k)]


@given(
    seed=st.integers(0, 10_000), top_k=st.integers(1, 100), sizes=st.lists(st.integers(1, 300), min_size=1, max_size=6)
)
def test_random_galleries_rank_as_one_product_over_all_rows(seed: int, top_k: int, sizes: list[int]) -> None:
    rows, probes = unit(sum(sizes), seed), unit(2, seed + 1)
    ends = np.cumsum(sizes)
    faces = {
        f"S{at}": {f"f{n}": rows[n] for n in range(end - size, end)}
        for at, (end, size) in enumerate(zip(ends, sizes, strict=True))
    }
    assert best(galleries_of(faces), probes, top_k) == [truth_of(faces, probe, top_k) for probe in probes]


@given(seed=st.integers(0, 10_000), top_k=st.integers(1, 12))
def test_far_more_equal_rows_than_places_are_ranked_by_name(seed: int, top_k: int) -> None:
    names = [f"f{at:03}" for at in range(120)]
    random.Random(seed).shuffle(names)
    faces = {"B": dict.fromkeys(names[:80], BASE[0]), "A": dict.fromkeys(names[80:], BASE[0])}
    found = best(galleries_of(faces), BASE[:1], top_k)[0]
    assert [(hit.store, hit.face_id) for hit in found] == [("A", name) for name in sorted(names[80:])[:top_k]]


@pytest.mark.parametrize("seed", range(8))
def test_scores_closer_than_float32_sums_can_tell_are_ranked_by_their_exact_values(seed: int) -> None:
    probe = unit(1, seed)[0]
    noise = np.random.default_rng(seed).standard_normal((3000, 128)) * 1e-6
    faces = {"A": {f"f{at:04}": (probe + noise[at]).astype(np.float32) for at in range(3000)}}
    for top_k in (1, 5, 20):
        assert best(galleries_of(faces), probe[None], top_k)[0] == truth_of(faces, probe, top_k)


def test_candidates_do_not_depend_on_how_many_probes_come_together() -> None:
    rows, probes = unit(3000, 7), unit(64, 8)
    galleries = galleries_of({"A": {f"f{at}": row for at, row in enumerate(rows)}})
    together = best(galleries, probes, 10)
    assert together == [best(galleries, probe[None], 10)[0] for probe in probes]


def test_sharded_equals_unsharded() -> None:
    rows, probes = unit(2000, 9), unit(3, 10)
    faces = {f"S{at}": {f"f{n}": rows[n % 500] for n in range(at, 2000, 20)} for at in range(20)}
    galleries = galleries_of(faces)
    group = galleries.group
    whole = best(galleries, probes, 25)
    halves = zip(*(best(Part.of(group, group.galleries[at::2]), probes, 25) for at in (0, 1)), strict=True)

    def merged(parts: tuple[tuple[Candidate, ...], ...]) -> tuple[Candidate, ...]:
        return tuple(sorted(parts[0] + parts[1], key=lambda c: (-c.score, c.store, c.face_id))[:25])

    assert [merged(parts) for parts in halves] == whole


def test_probes_of_several_stores_rank_together_as_each_by_itself() -> None:
    rows, probes = unit(60, 9), unit(6, 10)
    faces = {f"S{at}": {f"f{n}": rows[n % 40] for n in range(at, 60, 3 + at)} for at in range(3)}
    group = galleries_of(faces).group
    parts = [Part.of(group, [gallery]) for gallery in group.galleries]
    together = best_of([Piece(part, probes[2 * at : 2 * at + 2]) for at, part in enumerate(parts)], 20)
    assert together == [truth_of({f"S{at // 2}": faces[f"S{at // 2}"]}, probe, 20) for at, probe in enumerate(probes)]


def test_each_probe_passes_over_its_own_home() -> None:
    rows, probes = unit(900, 9), unit(4, 10)
    faces = {f"S{at}": {f"f{n}": rows[n] for n in range(at, 900, 3)} for at in range(3)}
    part = galleries_of(faces)
    homes = np.array([0, 1, 2, -1], dtype=np.int32)
    found = best_of([Piece(part, probes, homes)], 50)
    for home, probe, hits in zip(homes, probes, found, strict=True):
        others = {store: rows for store, rows in faces.items() if store != f"S{home}"}
        assert hits == truth_of(others, probe, 50)
