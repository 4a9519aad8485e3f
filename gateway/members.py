"""Members: customers known by name, and the faces that are theirs.

A face has one member at most; its record says which, and every replica with it. A member may have faces at many stores.
The order of the writes, and what an interruption leaves, is told in `common.members`; every call here may be repeated.

Wherever an entry leaves a member's set, the face's record is written too, even if it is not the member's: a binding
under way that looked at the record earlier then fails its comparison and begins again, instead of binding a face that
the set does not name.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace

from common.cluster_map import StoreConfig
from common.errors import Conflict, FaceBound, FaceChanged, FacegridError, TruthUnavailable, UnknownFace, UnknownStore
from common.ledger import Ledger
from common.members import BoundFace, MemberBook, MemberCard, Profile, unknown_member
from common.records import FaceRecord
from common.types import Kind
from gateway.deadline import Deadline
from gateway.enrol import ATTEMPTS, unknown_face
from gateway.member_cards import CardCache
from gateway.revise import Change, Revised, Reviser
from gateway.view import ClusterView

FORGET_S = 10.0


class Members:
    def __init__(self, book: MemberBook, ledger: Ledger, reviser: Reviser, view: ClusterView) -> None:
        self._book = book
        self._ledger = ledger
        self._reviser = reviser
        self._view = view
        self._cache = CardCache(book)

    async def cards(self, member_ids: Iterable[str]) -> dict[str, MemberCard]:
        """Best effort, a few seconds old at most: those of the members that exist, none while Redis is away."""
        return await self._cache.cards(member_ids)

    async def put(self, card: MemberCard) -> tuple[Profile, bool]:
        """Create the member or replace its profile; True if it is new."""
        now = time.time()
        done = await self._book.put(Profile(card, now, now))
        self._cache.forget(card.member_id)
        return done

    async def profile(self, member_id: str) -> Profile:
        """Raises UnknownMember."""
        found = await self._book.profiles([member_id])
        if member_id not in found:
            raise unknown_member(member_id)
        return found[member_id]

    async def page(self, cursor: str, limit: int) -> tuple[str | None, list[Profile]]:
        following, found = await self._book.page(cursor, limit)
        return following, [profile for _, profile in sorted(found.items())]

    async def faces(self, member_id: str) -> list[tuple[str, str, FaceRecord]]:
        """(store, face_id, record) of every face bound to the member, in order. A face that is gone, named still by a
        binding that was cut short, leaves the set now. Raises UnknownMember."""
        await self.profile(member_id)
        by_store: defaultdict[str, list[str]] = defaultdict(list)
        for store, face_id in await self._book.faces(member_id):
            by_store[store].append(face_id)
        found = await asyncio.gather(*(self._ledger.records(store, ids) for store, ids in by_store.items()))
        listed = [
            (store, face_id, record)
            for (store, ids), records in zip(by_store.items(), found, strict=True)
            for face_id, record in zip(ids, records, strict=True)
        ]
        for store, face_id, record in listed:
            if record is None:
                with contextlib.suppress(FacegridError):  # who reads it next tries again
                    await self.forget_face(member_id, store, face_id)
        return [(store, at, one) for store, at, one in listed if one is not None and one.member_id == member_id]

    async def bind(self, member_id: str, store: StoreConfig, face_id: str, deadline: Deadline) -> Revised:
        """The face is the member's from now on, and nobody else's. Raises UnknownMember, UnknownFace, MemberFull."""
        before: str | None = None

        async def change(record: FaceRecord) -> FaceRecord | None:
            nonlocal before
            await self._book.begin_binding(member_id, (store.store, face_id))
            before = record.member_id
            if before == member_id:
                return None
            kind = Kind.STAFF if record.kind is Kind.STAFF else Kind.MEMBER
            return replace(record, kind=kind, member_id=member_id)

        try:
            done = await self._reviser.revise(store, face_id, change, deadline)
        except UnknownFace:
            await self.forget_face(member_id, store.store, face_id)  # it may have gone after the binding was begun
            raise
        if before is not None and before != member_id:
            # It is bound; that the other's set names it too does no harm.
            with contextlib.suppress(TruthUnavailable, FaceChanged):
                await self.forget_face(before, store.store, face_id)
        return done

    async def unbind(self, member_id: str, store: StoreConfig, face_id: str, deadline: Deadline) -> Revised:
        """The face is a visitor's again (staff stays staff). Raises UnknownMember, UnknownFace; FaceBound if it is
        another member's."""
        await self.profile(member_id)
        face = await self._ledger.face(store.store, face_id)
        if face is not None and face.record.member_id not in (None, member_id):
            raise FaceBound(f"The face is bound to another member, not to {member_id}.", field="member_id")
        done = await self._let_go(member_id, (store.store, face_id), _unbound_from(member_id), deadline)
        if done is None:
            raise unknown_face(store.store, face_id)
        return done

    async def delete(self, member_id: str, deadline: Deadline) -> None:
        """Unbind all of its faces, then remove it; if it is cut short, repeat it. Raises UnknownMember."""
        await self.profile(member_id)
        deadline.waive()
        with _begun():
            for _ in range(ATTEMPTS):
                for face in await self._book.faces(member_id):
                    await self._let_go(member_id, face, _unbound_from(member_id), deadline)
                if await self._book.remove(member_id):
                    self._cache.forget(member_id)
                    return
        raise Conflict(f"Others keep binding faces to member {member_id}.", field="member_id")

    async def forget_face(self, member_id: str, store: str, face_id: str) -> None:
        """Call it after the face was erased: the member's set names it no longer, unless it is the member's again.
        May be repeated. Raises TruthUnavailable."""
        async with Deadline(FORGET_S) as deadline:
            await self._let_go(member_id, (store, face_id), _touched_unless_of(member_id), deadline)

    async def _let_go(self, member_id: str, face: BoundFace, change: Change, deadline: Deadline) -> Revised | None:
        """Write the face's record, then take the face out of the member's set. None: there is no such face (any more).
        Others who keep binding it may leave its entry there."""
        store, done = await self._store(face[0]), None
        with _begun():
            for _ in range(ATTEMPTS):
                token = await self._book.token(member_id)
                done = None if store is None else await self._revised(store, face[1], change, deadline)
                bound = done is not None and done.record.member_id == member_id
                if bound or await self._book.let_go(member_id, face, token):
                    break
        return done

    async def _store(self, name: str) -> StoreConfig | None:
        try:
            return await self._view.store(name)
        except UnknownStore:
            return None

    async def _revised(self, store: StoreConfig, face_id: str, change: Change, deadline: Deadline) -> Revised | None:
        try:
            return await self._reviser.revise(store, face_id, change, deadline)
        except UnknownFace:
            return None


def _unbound_from(member_id: str) -> Change:
    async def change(record: FaceRecord) -> FaceRecord:
        if record.member_id != member_id:
            return record
        return replace(record, member_id=None, kind=Kind.VISITOR if record.kind is Kind.MEMBER else record.kind)

    return change


def _touched_unless_of(member_id: str) -> Change:
    async def change(record: FaceRecord) -> FaceRecord | None:
        return None if record.member_id == member_id else record

    return change


@contextlib.contextmanager
def _begun() -> Iterator[None]:
    """For a sequence of writes: whatever the one that failed says, those before it were done."""
    try:
        yield
    except TruthUnavailable as error:
        raise TruthUnavailable(
            "Redis went away before all was written; repeat the request.", outcome="unknown"
        ) from error
