"""Requests to a gateway, ready to be sent: who is asked about, where, and how many at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from common.types import Vectors
from tests.bench.faces import PHOTOS, Faces
from tests.bench.filled import ROWS_SEED, Layout
from tests.bench.load import request

BATCH = 64
"""probes of a `search:batch`"""
KNOWN_SEED, STRANGERS_SEED, NEW_SEED = 50, 60, 70
MATCH = b'"verdict":"match"'


def known(faces: Faces, layout: Layout, count: int) -> tuple[Vectors, list[str]]:
    """Probes of enrolled people, (count, d), and the stores at which they are enrolled.

    Each is the enrolled row itself. What a search at home costs does not depend on how alike they are, and with a large
    store, whose threshold is high, new photos would measure a mixture of both ways to search.
    """
    numbers = np.random.default_rng(KNOWN_SEED).integers(layout.rows, size=count)
    return faces.enrolled(numbers, ROWS_SEED), [layout.home(number) for number in numbers.tolist()]


def unknown(faces: Faces, layout: Layout, count: int) -> tuple[Vectors, list[str]]:
    """Probes of strangers, (count, d), and stores that they come to."""
    numbers = np.random.default_rng(STRANGERS_SEED).integers(layout.rows, size=count)
    return faces.strangers(count, STRANGERS_SEED), [layout.home(number) for number in numbers.tolist()]


def singly(probes: Vectors, stores: Sequence[str], photos: int = 1) -> list[bytes]:
    """One search a probe."""
    return [
        request(f"/v1/stores/{store}/search?photos={photos}", probe.tobytes())
        for probe, store in zip(probes, stores, strict=True)
    ]


def batched(probes: Vectors, stores: Sequence[str], photos: int = 1, size: int = BATCH) -> list[bytes]:
    """`search:batch` of so many probes each; what does not fill one is left out."""
    return [
        request(
            f"/v1/search:batch?photos={photos}&stores={','.join(stores[at : at + size])}",
            probes[at : at + size].tobytes(),
        )
        for at in range(0, len(probes) - size + 1, size)
    ]


def routed(faces: Faces, layout: Layout, count: int = 4096) -> tuple[list[bytes], list[bytes]]:
    """The same people searched for at their stores, singly and in batches."""
    probes, stores = known(faces, layout, count)
    return singly(probes, stores, PHOTOS), batched(probes, stores, PHOTOS)


def everywhere(faces: Faces, layout: Layout, count: int = 4096) -> tuple[list[bytes], list[bytes]]:
    """The same strangers, singly and in batches: each is missed at home and looked for in every store."""
    probes, stores = unknown(faces, layout, count)
    return singly(probes, stores), batched(probes, stores)


def enrolments(faces: Faces, layout: Layout, count: int, seed: int = NEW_SEED) -> list[bytes]:
    """New people, one request each, on disk and visible to every search before it is answered."""
    rows = faces.rows(count, seed, of=1)
    return [request(f"/v1/stores/{layout.home(at % layout.rows)}/faces", row.tobytes()) for at, row in enumerate(rows)]
