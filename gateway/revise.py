"""Changing what is known about a face without new photos: its kind, its labels, its member.

Templates, row and picture stay. As with enrolments the commit compares: the record must still be the one that was
looked at; if somebody was faster, look again. A face that is gone is not brought back. A revision is no sighting.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from common.cluster_map import StoreConfig
from common.errors import FaceChanged
from common.ledger import Ledger, Put, StoredFace
from common.records import FaceRecord, standing_of
from common.types import Kind, Wait
from gateway.deadline import Deadline
from gateway.enrol import ATTEMPTS, check_bound, unknown_face
from gateway.router import Router

Change: TypeAlias = Callable[[FaceRecord], Awaitable[FaceRecord | None]]
"""The record as it shall be, None to leave it as it is; asked again for the new one where another was faster."""


@dataclass(frozen=True, slots=True)
class Revised:
    """The face as it stands, and a version of its store that has it so."""

    record: FaceRecord
    version: int


class Reviser:
    def __init__(self, ledger: Ledger, router: Router) -> None:
        self._ledger = ledger
        self._router = router

    async def revise(self, store: StoreConfig, face_id: str, change: Change, deadline: Deadline) -> Revised:
        """Raises UnknownFace, FaceChanged (others keep writing it), UnknownStore, and what `change` raises; nothing is
        written then. Or TruthUnavailable, which says whether."""
        for attempt in range(ATTEMPTS):
            face = await self._ledger.face(store.store, face_id)
            if face is None:
                raise unknown_face(store.store, face_id)
            wanted = await change(face.record)
            if wanted is None:
                return Revised(face.record, await self._ledger.version(store.store))
            record = replace(wanted, updated=_later(face.record.updated))
            deadline.waive()
            try:
                done = await self._ledger.commit(store.store, store.incarnation, puts=[_put(face_id, face, record)])
            except FaceChanged:
                if attempt == ATTEMPTS - 1 or not deadline.remaining_s():
                    raise
                continue
            return Revised(record, done.version)
        raise AssertionError("the last attempt returns or raises")

    async def is_visible(self, store: StoreConfig, done: Revised, wait: Wait, deadline: Deadline) -> bool:
        """Whether searches see it, as far as the caller waits for that."""
        match wait:
            case Wait.COMMITTED:
                return False
            case Wait.VISIBLE:
                return await self._router.is_visible(store, done.version, deadline)


def _put(face_id: str, face: StoredFace, record: FaceRecord) -> Put:
    return Put(
        face_id,
        record.pack(),
        face.templates,
        replaces=face.raw,
        standing=standing_of(record),
        seen_ms=int(record.created * 1000),  # the later one counts, so this changes nothing
    )


def _later(before: float) -> float:
    """Now; later than before in any case, so that a record never becomes again what somebody has read."""
    return max(time.time(), math.nextafter(before, math.inf))


def relabelled(kind: Kind | None, labels: dict[str, str] | None) -> Change:
    """Another kind, other labels; None leaves them. Raises FaceBound where a member's face shall be a visitor's."""

    async def change(record: FaceRecord) -> FaceRecord:
        new_kind = record.kind if kind is None else kind
        check_bound(record, new_kind)
        return replace(record, kind=new_kind, labels=record.labels if labels is None else labels)

    return change
