"""The ranking against one numpy product: scores, order and ties, over any number of galleries."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.types import Candidate, Vectors
from shard.gallery import Gallery
from shard.ranking import best, probe_blocks
from tests.shard.helpers import truth_of, unit

BASE = unit(6, 3)
"""few different rows, so that most faces tie"""


def galleries_of(faces: dict[str, dict[str, Vectors]]) -> list[tuple[str, Gallery]]:
    galleries = []
    for store, rows in faces.items():
        gallery = Gallery(128)
        gallery.put(list(rows), np.array(list(rows.values())))
        galleries.append((store, gallery))
    return galleries


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
    whole = best(galleries, probes, 25)
    halves = zip(best(galleries[::2], probes, 25), best(galleries[1::2], probes, 25), strict=True)

    def merged(parts: tuple[tuple[Candidate, ...], tuple[Candidate, ...]]) -> tuple[Candidate, ...]:
        return tuple(sorted(parts[0] + parts[1], key=lambda c: (-c.score, c.store, c.face_id))[:25])

    assert [merged(parts) for parts in halves] == whole


def test_no_gallery_gives_no_candidate_for_each_probe() -> None:
    assert best([], unit(3), 5) == [(), (), ()]


def test_blocks_cover_every_probe_and_bound_the_nominees() -> None:
    galleries = galleries_of({f"S{at}": {"f": BASE[0]} for at in range(1000)})
    blocks = list(probe_blocks(galleries, unit(50), 100))
    assert np.array_equal(np.concatenate(blocks), unit(50))
    assert max(len(block) for block in blocks) * 1000 * 108 <= 1_000_000
