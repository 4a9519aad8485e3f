"""Enrol and erase: the writes about faces.

Reading the face, computing its new row and committing are tied together by what the commit compares: the face must
still be what was read. If somebody was faster, look again; a caller that enrols *because it saw nothing* passes the
version it searched at and gets the conflict instead.

An enrolment that began on a face and finds it erased when it looks again fails: the caller meant the face that was
there, and an erased face must not come back by a race. (One created anew meanwhile under the same id is not it either.)

An enrolment may be repeated: embeddings that the face has already are not added again. So a caller that was told
"outcome unknown" sends it once more under the face id in that answer.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field

import numpy as np

from common.cluster_map import StoreConfig
from common.errors import FaceBound, FaceChanged, SpaceChanging, TruthUnavailable, UnknownFace
from common.ledger import ABSENT, Delete, Ledger, Put, StoredFace
from common.limits import MAX_TEMPLATES
from common.records import FaceRecord, pack_vectors, standing_of, unpack_vectors
from common.types import Kind, Vectors, Wait
from common.vectors import mean_row
from gateway.creating import Creator
from gateway.deadline import Deadline
from gateway.router import Router

ATTEMPTS = 16
"""Looks at a face that others keep changing; the deadline usually ends it earlier."""


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What to enrol; None leaves what is stored, or the default for a new face."""

    embeddings: Vectors
    """(n, d) unit length, n up to MAX_TEMPLATES"""
    face_id: str | None = None
    kind: Kind | None = None
    labels: dict[str, str] | None = None
    thumbnail: bytes | None = field(default=None, repr=False)
    photos: int = 0
    """behind the embeddings where that is more than one each"""


@dataclass(frozen=True, slots=True)
class Written:
    """A write that is on disk. `visible`: every live replica of the store's shard that has loaded serves it already."""

    face_id: str
    version: int
    visible: bool


@dataclass(frozen=True, slots=True)
class Enrolled:
    written: Written
    record: FaceRecord
    created: bool


class Enroller:
    def __init__(self, ledger: Ledger, creator: Creator, router: Router) -> None:
        self._ledger = ledger
        self._creator = creator
        self._router = router

    async def enrol(
        self, store: StoreConfig, new: Enrolment, expected_version: int | None, wait: Wait, deadline: Deadline
    ) -> Enrolled:
        """Create the face or add templates to it. Raises VersionConflict, FaceChanged, FaceBound, SpaceChanging,
        UnknownStore, ErasureUnfinished, ZeroVector (templates that cancel out), and nothing is changed then; or
        TruthUnavailable, which says whether."""
        face_id = new.face_id or uuid.uuid4().hex
        began_on: StoredFace | None = None
        for attempt in range(ATTEMPTS):
            present = await self._ledger.face(store.store, face_id)
            began_on = began_on or present
            check_same_face(began_on, present)
            record, templates = combine(present, new, store.space, time.time())
            put = Put(
                face_id,
                record.pack(),
                pack_vectors(templates),
                replaces=ABSENT if present is None else present.raw,
                thumbnail=new.thumbnail or b"",
                standing=standing_of(record),
            )
            deadline.waive()
            try:
                done = await self._creator.commit(store, [put], deadline, expected_version)
            except FaceChanged:
                if attempt == ATTEMPTS - 1 or not deadline.remaining_s():
                    raise
                continue
            except TruthUnavailable as error:
                error.extra["face_id"] = face_id
                raise
            visible = await self.is_visible(store, done.version, wait, deadline)
            return Enrolled(Written(face_id, done.version, visible), record, created=present is None)
        raise AssertionError("the last attempt returns or raises")

    async def erase(self, store: StoreConfig, face_id: str, deadline: Deadline) -> int:
        """The store's version without the face, on disk. Raises UnknownFace, UnknownStore or TruthUnavailable."""
        deadline.waive()
        done = await self._ledger.commit(store.store, store.incarnation, deletes=[Delete(face_id)])
        if not done.deleted:
            raise unknown_face(store.store, face_id)
        return done.version

    async def is_visible(self, store: StoreConfig, version: int, wait: Wait, deadline: Deadline) -> bool:
        """As `Written` says of it; false where nobody waits."""
        match wait:
            case Wait.COMMITTED:
                return False
            case Wait.VISIBLE:
                return await self._router.is_visible(store, version, deadline)


def check_same_face(began_on: StoredFace | None, present: StoredFace | None) -> None:
    """Raise FaceChanged if the face that the enrolment began on is not there any more."""
    if began_on is not None and (present is None or present.record.created != began_on.record.created):
        raise FaceChanged("The face was erased meanwhile.", field="face_id")


def combine(present: StoredFace | None, new: Enrolment, space: str, now: float) -> tuple[FaceRecord, Vectors]:
    """The face after enrolment and its templates (those it has already are left out, then oldest out beyond
    MAX_TEMPLATES); the row is their unit mean."""
    if present is None:
        record = FaceRecord(
            row=mean_row(new.embeddings),
            space=space,
            kind=new.kind or Kind.VISITOR,
            created=now,
            updated=now,
            templates=len(new.embeddings),
            labels=new.labels or {},
            thumbnail=new.thumbnail is not None,
            photos=new.photos,
        )
        return record, new.embeddings
    old = present.record
    if old.space != space:
        raise SpaceChanging(f"The face is in {old.space} by now, the embeddings are in {space}.", field="space")
    kind = old.kind if new.kind is None else new.kind
    check_bound(old, kind)
    stored = unpack_vectors(present.templates, len(old.row))
    there = (new.embeddings[:, None] == stored).all(axis=2).any(axis=1)
    templates = np.concatenate([stored, new.embeddings[~there]])[-MAX_TEMPLATES:]
    record = FaceRecord(
        row=mean_row(templates),
        space=space,
        kind=kind,
        created=old.created,
        updated=now,
        templates=len(templates),
        photos=old.photos_behind + _photos_of(new, int((~there).sum())),
        labels=old.labels if new.labels is None else new.labels,
        member_id=old.member_id,
        thumbnail=old.thumbnail or new.thumbnail is not None,
    )
    return record, templates


def _photos_of(new: Enrolment, added: int) -> int:
    """How many photos so many of its embeddings stand for, rounded up: more photos mean a higher threshold."""
    count = len(new.embeddings)
    return -(-max(new.photos, count) * added // count)


def check_bound(record: FaceRecord, kind: Kind) -> None:
    """Raise FaceBound if the face would be a visitor's and a member's at once."""
    if kind is Kind.VISITOR and record.member_id is not None:
        raise FaceBound(
            f"The face is bound to member {record.member_id}; unbind it (DELETE below /v1/members/{record.member_id}"
            "/faces), then it is a visitor's.",
            field="kind",
            limit=[Kind.MEMBER, Kind.STAFF],
        )


def unknown_face(store: str, face_id: str) -> UnknownFace:
    return UnknownFace(f"Store {store} has no face {face_id}.", field="face_id")
