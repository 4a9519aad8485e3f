"""Two faces that are one person become one, and templates that are somebody else's become a face of their own.

A merge writes twice where the faces are at two stores, and no script can do both. So the face that stays has everything
before the other one goes: where that was seen, its member's list, its templates. Cut short anywhere, a repetition goes
on; the visits follow (`rekeying`). Both commits compare: neither face may have changed since it was looked at.

Of the two faces the one merged into keeps its id, labels and picture. It is staff if either is, else a member if either
is: who was merged by mistake into a plain visitor must not begin to be counted, or lose the card.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from common.cluster_map import StoreConfig
from common.errors import Conflict, FaceChanged, InvalidRequest, UnknownFace, WrongSpace
from common.ledger import ABSENT, NO_THUMBNAIL, Delete, Ledger, Put, StoredFace
from common.limits import MAX_TEMPLATES
from common.members import MemberBook
from common.records import FaceRecord, pack_vectors, standing_of, unpack_vectors
from common.rekeys import Rekeys
from common.types import Kind, Vectors
from common.vectors import mean_row
from common.visits import person_of
from gateway.deadline import Deadline
from gateway.enrol import ATTEMPTS, unknown_face
from gateway.rekeying import Rekeying
from gateway.unnaming import Known

RANK = (Kind.VISITOR, Kind.MEMBER, Kind.STAFF)
"""what a merged face is: the later of the two"""


@dataclass(frozen=True, slots=True)
class Named:
    """A face of a request, and where in the request."""

    field: str
    home: StoreConfig
    face_id: str


@dataclass(frozen=True, slots=True)
class Merged:
    """The face that stays, and the versions at which the stores have it so: one with it, one without the other."""

    record: FaceRecord
    version: int
    gone_version: int


@dataclass(frozen=True, slots=True)
class Split:
    record: FaceRecord
    new_id: str
    new: FaceRecord
    version: int


@dataclass(frozen=True, slots=True)
class Holders:
    """Who keeps what a merge touches."""

    ledger: Ledger
    rekeys: Rekeys
    book: MemberBook


YIELD_S = 0.005
"""Of two that merge the same faces in both ways at once, one lets the other go first: they would go on changing each
other's, step by step."""


class Merger:
    def __init__(self, holders: Holders, rekeying: Rekeying) -> None:
        self._ledger = holders.ledger
        self._rekeys = holders.rekeys
        self._book = holders.book
        self._rekeying = rekeying

    async def merge(self, into: Named, gone: Named, deadline: Deadline) -> Merged:
        """Raises UnknownFace (also for one that went into the other, a while after it did), InvalidRequest, WrongSpace,
        Conflict (two members' faces), MemberFull, ZeroVector, FaceChanged (others keep writing), TruthUnavailable."""
        _check_pair(into, gone)
        for attempt in range(ATTEMPTS):
            stays, goes = await self._face(into), await self._face(gone)
            if stays is None:
                raise _unknown(into)
            if goes is None:
                return await self._merged_before(into, gone, stays.record, deadline)
            record, templates = join(stays, goes, time.time())
            deadline.waive()
            try:
                versions = await self._write(into, gone, (stays, goes), (record, templates))
            except FaceChanged:
                if attempt == ATTEMPTS - 1 or not deadline.remaining_s():
                    raise
                if (into.home.store, into.face_id) > (gone.home.store, gone.face_id):
                    await asyncio.sleep(YIELD_S * (attempt + 1))
                continue
            known = Known.of(goes.record)
            await self._rekeying.at_once(gone.home.store, {gone.face_id: known}, deadline)
            return Merged(record, *versions)
        raise AssertionError("the last attempt returns or raises")

    async def _face(self, named: Named) -> StoredFace | None:
        return await self._ledger.face(named.home.store, named.face_id)

    async def _merged_before(self, into: Named, gone: Named, record: FaceRecord, deadline: Deadline) -> Merged:
        """Somebody repeats a request of which the answer was lost: as long as the job is kept, it says so."""
        job = await self._rekeys.job(gone.home.store, gone.face_id)
        if job is None or job.to != person_of(into.home, into.face_id):
            raise _unknown(gone)
        await self._rekeying.at_once(gone.home.store, {gone.face_id: None}, deadline)
        versions = await self._ledger.versions([into.home.store, gone.home.store])
        return Merged(record, versions[into.home.store], versions[gone.home.store])

    async def _write(
        self, into: Named, gone: Named, was: tuple[StoredFace, StoredFace], joined: tuple[FaceRecord, Vectors]
    ) -> tuple[int, int]:
        """Both commits; one, where the faces are of one store."""
        stays, goes = was
        put = await self._prepared(into, gone, stays, joined)
        unchanged = _as_it_was(gone.face_id, goes)
        delete = Delete(gone.face_id, rekey_to=person_of(into.home, into.face_id))
        here, there = into.home, gone.home
        if here.store == there.store:
            done = await self._ledger.commit(here.store, here.incarnation, puts=[put, unchanged], deletes=[delete])
            return done.version, done.version
        first = await self._ledger.commit(here.store, here.incarnation, puts=[put])
        second = await self._ledger.commit(there.store, there.incarnation, puts=[unchanged], deletes=[delete])
        return first.version, second.version

    async def _prepared(self, into: Named, gone: Named, stays: StoredFace, joined: tuple[FaceRecord, Vectors]) -> Put:
        """What has to be there before the other face goes: an erasure of this one looks wherever that one was seen."""
        record, templates = joined
        if record.member_id is not None and stays.record.member_id is None:  # first: it may refuse
            await self._book.begin_binding(record.member_id, (into.home.store, into.face_id))
        where = await self._rekeys.whereabouts(gone.home.store, gone.face_id)
        await self._rekeys.carry(into.home, into.face_id, (gone.home.store, *where.places), where.origin_ms)
        return Put(
            into.face_id,
            record.pack(),
            pack_vectors(templates),
            replaces=stays.raw,
            standing=standing_of(record),
            seen_ms=max(where.seen_ms or 0, _created_ms(record)),  # the later one counts
        )

    async def split(self, named: Named, picked: Sequence[int], as_of: datetime | None) -> Split:
        """Make the templates at these places a new visitor of the store, in one commit; visits stay where they are. A
        thumbnail goes: which of the two it shows is not known, and a migration would make the face anew from it.

        Raises UnknownFace, InvalidRequest, ZeroVector; FaceChanged if it is not as it was `as_of` (its `updated`), or
        changes at this moment: the places may mean other templates then.
        """
        present = await self._face(named)
        if present is None:
            raise unknown_face(named.home.store, named.face_id)
        if as_of is not None and as_of != datetime.fromtimestamp(present.record.updated, UTC):
            raise FaceChanged("The face was changed since; look at its templates again.", field="updated")
        staying, leaving = parted(present, picked)
        now = time.time()
        row, photos = mean_row(staying), present.record.photos_behind
        record = replace(
            present.record,
            row=row,
            templates=len(staying),
            photos=photos - len(leaving),  # which templates are of several photos is not kept: rather too many on both
            thumbnail=False,
            updated=now,
        )
        new = FaceRecord(
            mean_row(leaving), record.space, Kind.VISITOR, now, now, len(leaving), photos=photos - len(staying)
        )
        new_id = uuid.uuid4().hex
        kept = Put(
            named.face_id,
            record.pack(),
            pack_vectors(staying),
            replaces=present.raw,
            thumbnail=NO_THUMBNAIL,
            standing=standing_of(record),
            seen_ms=_created_ms(record),
        )
        puts = [kept, Put(new_id, new.pack(), pack_vectors(leaving), replaces=ABSENT)]
        done = await self._ledger.commit(named.home.store, named.home.incarnation, puts=puts)
        return Split(record, new_id, new, done.version)


def _check_pair(into: Named, gone: Named) -> None:
    if (into.home.store, into.face_id) == (gone.home.store, gone.face_id):
        raise InvalidRequest("A face cannot be merged with itself.", field=gone.field)
    if into.home.space != gone.home.space:
        raise WrongSpace(
            f"The stores are in {into.home.space} and {gone.home.space}.", field=gone.field, limit=into.home.space
        )
    if into.home.group != gone.home.group:
        raise InvalidRequest(
            f"Stores {into.home.store} and {gone.home.store} are of two groups.",
            field=gone.field,
            limit=into.home.group,
        )


def join(stays: StoredFace, goes: StoredFace, now: float) -> tuple[FaceRecord, Vectors]:
    """The face that stays, with the templates of both: the newest MAX_TEMPLATES, each once. Joining the result with the
    same face again gives the same templates and photos. Raises Conflict, WrongSpace, ZeroVector."""
    old, other = stays.record, goes.record
    if old.space != other.space:
        raise WrongSpace(f"The faces were enrolled in {old.space} and {other.space}.", field="from", limit=old.space)
    if None not in (old.member_id, other.member_id) and old.member_id != other.member_id:
        raise Conflict(
            f"The faces are bound to two members, {old.member_id} and {other.member_id}; unbind one of them.",
            field="from",
            members=[old.member_id, other.member_id],
        )
    older, newer = (_rows(face) for face in sorted((stays, goes), key=lambda face: face.record.updated))
    repeated = (older[:, None] == newer).all(axis=2).any(axis=1)
    templates = np.concatenate([older[~repeated], newer])[-MAX_TEMPLATES:]
    joined_before = np.array_equal(templates, _rows(stays))
    record = replace(
        old,
        row=mean_row(templates) if len(templates) else old.row,
        kind=max(old.kind, other.kind, key=RANK.index),
        member_id=old.member_id or other.member_id,
        templates=len(templates),
        photos=old.photos_behind + (0 if joined_before else other.photos_behind),
        updated=max(now, old.updated, other.updated),
    )
    return record, templates


def parted(face: StoredFace, picked: Sequence[int]) -> tuple[Vectors, Vectors]:
    """The templates that stay and those at the places `picked`. Raises InvalidRequest."""
    rows = _rows(face)
    if max(picked) >= len(rows):
        raise InvalidRequest(f"The face has {len(rows)} templates.", field="templates", limit=len(rows) - 1)
    if len(set(picked)) == len(rows):
        raise InvalidRequest("One template at least has to stay.", field="templates", limit=len(rows) - 1)
    leaves = np.zeros(len(rows), dtype=bool)
    leaves[list(picked)] = True
    return rows[~leaves], rows[leaves]


def _as_it_was(face_id: str, face: StoredFace) -> Put:
    """Beside a delete of the same face: makes the commit compare it, and goes with it."""
    standing = standing_of(face.record)
    return Put(
        face_id, face.raw, face.templates, replaces=face.raw, standing=standing, seen_ms=_created_ms(face.record)
    )


def _rows(face: StoredFace) -> Vectors:
    return unpack_vectors(face.templates, len(face.record.row))


def _created_ms(record: FaceRecord) -> int:
    return int(record.created * 1000)


def _unknown(named: Named) -> UnknownFace:
    return UnknownFace(f"Store {named.home.store} has no face {named.face_id}.", field=f"{named.field}.face_id")
