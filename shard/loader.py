"""Loads stores from Redis, a few at once, beside the index: the follower installs what is finished.

A load notes the feed's version, then scans the hash; following from that version brings in what was written meanwhile.
Nothing here is visible to a search, so loading needs no gate. It yields to the event loop after every batch.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from common.cluster_map import StoreConfig
from common.errors import SpaceChanging, TruthUnavailable
from common.ledger import Ledger
from common.records import FaceRecord
from common.types import Kind
from shard.gallery import Gallery
from shard.shard_index import ServedStore, Usable, same_creation

LOADS_AT_ONCE = 4
RETRY_S = 2.0
UNIT_SLACK = 1e-4
"""how far from 1 a row's squared length may be; the wire refuses scores beyond 1 by more"""

log = logging.getLogger("facegrid.shard.loader")


def usable(store: str, space: str, dimension: int, records: Sequence[tuple[str, FaceRecord | None]]) -> Usable:
    """Sort out records that are gone, and those that cannot be searched in this space, which are logged by name."""
    shaped = [
        (face_id, record.row, record.photos_behind)
        for face_id, record in records
        if record is not None and record.space == space and record.row.shape == (dimension,)
    ]
    rows = np.array([row for _, row, _ in shaped], dtype=np.float32).reshape(-1, dimension)
    # Of all rows at once, and in float64. A NaN or an infinity makes the comparison false.
    fits = np.abs(np.einsum("nd,nd->n", rows, rows, dtype=np.float64) - 1) <= UNIT_SLACK
    fitting = [(face_id, photos) for (face_id, _, photos), fit in zip(shaped, fits.tolist(), strict=True) if fit]
    face_ids = [face_id for face_id, _ in fitting]
    kept, drops = set(face_ids), []
    for face_id, record in records:
        if face_id not in kept:
            drops.append(face_id)
            if record is not None and record.templates:  # without: it was left behind when the store changed its space
                log.error("Store %s: face %s is no %s row of unit length and is left out", store, face_id, space)
    known = {
        face_id: record.known_as
        for face_id, record in records
        if record is not None and record.kind is not Kind.VISITOR and face_id in kept
    }
    return Usable(face_ids, rows[fits], drops, known, [photos for _, photos in fitting])


async def load_store(ledger: Ledger, config: StoreConfig) -> ServedStore:
    """Raises TruthUnavailable, SpaceChanging (what was read is not of this incarnation: the map says the next one in a
    moment), and KeyError, TypeError or ValueError on a record that is none."""
    version = await ledger.version(config.store)
    gallery = Gallery(config.dimension)
    async for batch in ledger.load(config.store):
        faces = usable(config.store, config.space, config.dimension, batch)
        gallery.put(faces.face_ids, faces.rows, faces.known, faces.photos)
        gallery.drop(faces.drops)  # a batch may repeat a face whose record changed in between
    if not await ledger.is_current(config.store, config.incarnation):
        raise SpaceChanging(f"Store {config.store} was read while it changed its embedding space.", field="store")
    due = await ledger.version(config.store)  # a long load begins its life far behind what was acknowledged meanwhile
    return ServedStore(config.incarnation, config.space, gallery, version, due, config.group)


def _look_at_error(task: asyncio.Task[ServedStore]) -> None:
    # A load that was given up after it failed is nobody's loss; unseen, its error would be logged by asyncio.
    if not task.cancelled():
        task.exception()


class Loader:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._free = asyncio.Semaphore(LOADS_AT_ONCE)
        self._loads: dict[str, tuple[StoreConfig, asyncio.Task[ServedStore]]] = {}
        self._not_before: dict[str, float] = {}

    @property
    def busy(self) -> bool:
        return bool(self._loads)

    def start(self, config: StoreConfig) -> None:
        """Begin to load the store, unless it is being loaded or its last load has just failed."""
        if config.store not in self._loads and self._not_before.get(config.store, 0) <= time.monotonic():
            task = asyncio.create_task(self._load(config))
            task.add_done_callback(_look_at_error)
            self._loads[config.store] = (config, task)

    async def _load(self, config: StoreConfig) -> ServedStore:
        async with self._free:
            return await load_store(self._ledger, config)

    def keep_only(self, wanted: Mapping[str, StoreConfig]) -> None:
        """Give up loads of stores, or incarnations of stores, that are not wanted any more."""
        for store, (config, task) in list(self._loads.items()):
            if store not in wanted or not same_creation(config, wanted[store]):
                task.cancel()
                del self._loads[store]

    def finished(self) -> Iterator[tuple[str, ServedStore]]:
        """The loads done since the last look. A failed one is logged, and may start again after `RETRY_S`."""
        for store, (_, task) in list(self._loads.items()):
            if not task.done():
                continue
            del self._loads[store]
            error = task.exception()
            if error is None:
                self._not_before.pop(store, None)
                yield store, task.result()
                continue
            self._not_before[store] = time.monotonic() + RETRY_S
            if not isinstance(error, TruthUnavailable):  # of that one the follower speaks
                log.error("Store %s could not be loaded", store, exc_info=error)
