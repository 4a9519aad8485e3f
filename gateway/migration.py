"""A store changes its embedding space: its templates are made again from the thumbnails that were kept.

    staging ──► (sightings_wait) ──► flip ──► the map entry gets the space ──► replicas load the store anew
       └──► photos_missing: some have no usable thumbnail, and may not be left behind

While it is staged, searches and writes go on in the old space (`common.migrations`). No replica ever serves a part of
both: the flip replaces all faces at once and gives the store another incarnation. Replicas serve what they have of the
old one until the map says the new one, and a load that was overtaken is thrown away (`shard/loader`). While they load
the new one, searches say `inconclusive`.

A face is re-encoded from one small picture, so it has one template afterwards. Who is left behind stays a face, with
visits, member and labels, but has no template: nobody can find it until it is enrolled again under its id. The old
templates go: rows of two spaces must never meet, and biometric data that nothing can use is not kept. A fixed threshold
and a margin are forgotten, since they were scores of the old space.

A request does as much as fits into its time; whoever repeats it, through any gateway, goes on. Between the flip and the
map entry writes to the store are refused; if that lasts, the leader or a repetition writes the entry (`gateway.flips`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from uuid import uuid4

import numpy as np

from common.cluster_map import StoreConfig
from common.errors import EncoderMissing, InvalidEmbedding, InvalidImage
from common.incarnations import CREATION, creation
from common.ledger import Ledger
from common.migrations import Counts, Flip, Migration, Migrations, Staged, Unstaged
from common.records import FaceRecord, pack_vectors
from common.types import Kind, Vectors
from gateway.deadline import Deadline
from gateway.encoder import EncoderPool
from gateway.flips import Flips
from gateway.router import Router
from gateway.spaces import Space, Spaces
from gateway.view import ClusterView

CHUNK = 8
"""thumbnails encoded together: a customer's photo waits for no more of them"""
KEPT_BACK = 0.3
"""the part of a request's time in which nothing more is begun"""

log = logging.getLogger("facegrid.migration")


class State(StrEnum):
    """Where a store's migration is, and what it takes to go on.

    idle ──► staging ──► photos_missing ──► (leave_behind, or photos)
               │  └────► sightings_wait ──► (shards that answer)
               └──► flipping ──► done
    """

    IDLE = "idle"
    STAGING = "staging"
    """repeat the request"""
    PHOTOS_MISSING = "photos_missing"
    SIGHTINGS_WAIT = "sightings_wait"
    FLIPPING = "flipping"
    """cut short between the flip and the map entry: repeat the request, or let the leader do it"""
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Progress:
    store: StoreConfig
    to: str | None
    """the space; None while there is no migration"""
    state: State
    counts: Counts

    @property
    def under_way(self) -> bool:
        """Whether `counts.to_photograph` are those that would be left behind, not those that were."""
        return self.state in {State.STAGING, State.PHOTOS_MISSING, State.SIGHTINGS_WAIT}


@dataclass(frozen=True, slots=True)
class Missing:
    """A face without a usable thumbnail."""

    face_id: str
    kind: Kind
    member_id: str | None


@dataclass(frozen=True, slots=True)
class Stored:
    """Those who know what Redis keeps of a store, and put it right."""

    flips: Flips
    ledger: Ledger
    migrations: Migrations


class Migrator:
    def __init__(
        self, stored: Stored, view: ClusterView, router: Router, spaces: Spaces, encoder: EncoderPool | None
    ) -> None:
        self._flips = stored.flips
        self._ledger = stored.ledger
        self._migrations = stored.migrations
        self._view = view
        self._router = router
        self._spaces = spaces
        self._encoder = encoder

    async def advance(self, name: str, to: str, *, leave_behind: bool, deadline: Deadline) -> Progress:
        """Go on until the store is in the space, something has to be done about it, or the time is over. To the space
        that it has: what was staged for another is dropped.

        Raises UnknownSpace, UnknownStore, Conflict (somebody began another migration), EncoderMissing and what else an
        encoder raises, TruthUnavailable. Nothing that was staged is lost by any of them.
        """
        space = self._spaces.of(to)
        await self._view.refresh()
        store = await self._flips.finish(await self._view.store(name))
        migration = await self._migrations.begin(store, space.name, space.dimension)
        if store.space == space.name:
            return await self._done(store, deadline)
        end_s = KEPT_BACK * deadline.remaining_s()
        while True:
            before, migration = migration, await self._stage(store, migration, space, deadline, end_s)
            if deadline.remaining_s() <= end_s:
                return await self._progress(store, to, State.STAGING)
            deadline.waive()
            into = creation(store.incarnation) + uuid4().hex[CREATION:]
            match await self._migrations.flip(store, space.name, into, leave_behind=leave_behind):
                case Flip.FLIPPED:
                    return await self._done(await self._flips.finish(store), deadline)
                case Flip.PHOTOS:
                    return await self._progress(store, to, State.PHOTOS_MISSING)
                case Flip.WAITING:
                    return await self._progress(store, to, State.SIGHTINGS_WAIT)
                case Flip.CHANGED if migration == before:  # nothing says what it is: look at every face again
                    migration = replace(migration, cursor=0)

    async def look(self, name: str) -> Progress:
        """How far it is. Raises UnknownStore, TruthUnavailable."""
        await self._view.refresh()
        store = await self._view.store(name)
        to = await self._migrations.target(store)
        if to is None:
            return await self._progress(store, None, State.IDLE)
        if await self._migrations.flipped_into(store) is not None:
            return await self._progress(store, to, State.FLIPPING)
        counts = await self._migrations.counts(name, under_way=True)
        if counts.staged == counts.faces and counts.to_photograph:
            return Progress(store, to, State.PHOTOS_MISSING, counts)
        if counts.staged == counts.faces and counts.waiting:
            return Progress(store, to, State.SIGHTINGS_WAIT, counts)
        return Progress(store, to, State.STAGING, counts)

    async def missing(self, progress: Progress, cursor: str, limit: int) -> tuple[str | None, list[Missing]]:
        """About `limit` of the faces without a usable thumbnail, and the next cursor, as `common.scan` has them."""
        store = progress.store.store
        following, face_ids = await self._migrations.to_photograph(store, cursor, limit, under_way=progress.under_way)
        records = await self._ledger.records(store, face_ids) if face_ids else []
        found = zip(face_ids, records, strict=True)
        return following, [Missing(at, one.kind, one.member_id) for at, one in found if one is not None]

    async def _progress(self, store: StoreConfig, to: str | None, state: State) -> Progress:
        progress = Progress(store, to, state, Counts(0, 0, 0, 0))
        counts = await self._migrations.counts(store.store, under_way=progress.under_way)
        return replace(progress, counts=counts if progress.under_way else replace(counts, staged=counts.faces))

    async def _stage(
        self, store: StoreConfig, migration: Migration, space: Space, deadline: Deadline, end_s: float
    ) -> Migration:
        """Stage all that is not staged, or what fits in until `end_s` are left; how far that has come."""
        while deadline.remaining_s() > end_s:
            step, face_ids = await self._migrations.following(store.store, migration)
            if step == migration:
                break
            for some in chunks(await self._migrations.unstaged(store.store, face_ids)):
                seconds = deadline.remaining_s() - end_s
                if seconds <= 0 or not await self._stage_some(store, some, space, migration, seconds):
                    return migration
            await self._migrations.stage(store, [], step, done=True)
            migration = step
        return migration

    async def _stage_some(
        self, store: StoreConfig, faces: Sequence[Unstaged], space: Space, migration: Migration, seconds: float
    ) -> bool:
        """Whether all were done in time; those that were are staged, however slow the model is, or whatever is wrong
        with another."""
        tasks = [asyncio.create_task(self._re_encode(face, space)) for face in faces]
        try:
            done, late = await asyncio.wait(tasks, timeout=seconds)
        finally:
            for task in tasks:
                task.cancel()
        failed = [error for task in done if (error := task.exception()) is not None]
        ready = [task.result() for task in done if task.exception() is None]
        await self._migrations.stage(store, ready, migration, done=False)
        if failed:
            raise failed[0]
        return not late

    async def _re_encode(self, face: Unstaged, space: Space) -> Staged:
        row = None
        if face.thumbnail is not None:
            if self._encoder is None:
                raise EncoderMissing("This gateway runs without encoders (FACEGRID_ENCODER_WORKERS=0); ask another.")
            try:
                row = await self._encoder.encode_thumbnail(face.thumbnail, space.name)
            except (InvalidImage, InvalidEmbedding) as error:
                log.warning("The thumbnail of face %s cannot be used: %s", face.face_id, error.detail)
        return re_encoded(face, row, space)

    async def _done(self, store: StoreConfig, deadline: Deadline) -> Progress:
        """Once replicas have the store in its space, or the time is over."""
        await self._router.is_visible(store, await self._ledger.version(store.store), deadline)
        return await self._progress(store, store.space, State.DONE)


def chunks(faces: Sequence[Unstaged]) -> list[list[Unstaged]]:
    """Those without a thumbnail at once, then the others, CHUNK by CHUNK."""
    bare = [face for face in faces if face.thumbnail is None]
    kept = [face for face in faces if face.thumbnail is not None]
    return [bare] * bool(bare) + [kept[at : at + CHUNK] for at in range(0, len(kept), CHUNK)]


def re_encoded(face: Unstaged, row: Vectors | None, space: Space) -> Staged:
    """The face with this one template, (d,) of unit length; None: with none, and a row that is like nobody's."""
    templates = np.zeros((0, space.dimension), dtype=np.float32) if row is None else row[None]
    record = replace(
        FaceRecord.unpack(face.raw),
        row=np.zeros(space.dimension, dtype=np.float32) if row is None else row,
        space=space.name,
        templates=len(templates),
        photos=0,
        updated=time.time(),
    )
    return Staged(face.face_id, face.raw, record.pack(), pack_vectors(templates))
