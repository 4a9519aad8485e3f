"""Members in Redis: who they are, and which faces are theirs. The only code that reads or writes their keys.

That a face is a member's is written in two places, and they lie on two slots: in the face's record (that is the truth)
and in the member's set, which finds the faces of a member. No script can write both. So the order is fixed:

    bind    the set names the face, then the record is written      the set may name a face that is not the member's
    unbind  the record is written, then the set forgets the face    the same; it never lacks one that is

An entry is taken out only under the token that was there before the record was looked at: a binding that is begun
meanwhile leaves another token, and the entry stays. Readers of the set look at the records.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from common import keys
from common.errors import MemberFull, UnknownMember
from common.limits import MAX_MEMBER_FACES
from common.scan import hash_page
from common.truth import truth


@dataclass(frozen=True, slots=True)
class MemberCard:
    """What the checkout is shown."""

    member_id: str
    display_name: str
    tier: str | None = None
    external_id: str | None = None
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Profile:
    card: MemberCard
    created: float
    """Unix seconds, as `updated`"""
    updated: float

    def to_json(self) -> str:
        return json.dumps({"card": asdict(self.card), "created": self.created, "updated": self.updated})

    @classmethod
    def from_json(cls, raw: bytes) -> Profile:
        read = json.loads(raw)
        return cls(MemberCard(**read["card"]), read["created"], read["updated"])


BoundFace = tuple[str, str]
"""store, face_id"""


class MemberBook:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        here = Path(__file__).parent
        self._bind = redis.register_script((here / "member_bind.lua").read_text())
        self._let_go = redis.register_script((here / "member_let_go.lua").read_text())
        self._remove = redis.register_script((here / "member_remove.lua").read_text())

    async def put(self, profile: Profile) -> tuple[Profile, bool]:
        """Write the profile; one that is replaced keeps its time of creation. True if it is new."""
        member_id = profile.card.member_id
        present = (await self.profiles([member_id])).get(member_id)
        kept = profile if present is None else replace(profile, created=present.created)
        with truth(outcome="unknown"):
            added: Any = await self._redis.hset(keys.MEMBERS, member_id, kept.to_json())
        return kept, added == 1

    async def profiles(self, member_ids: Sequence[str]) -> dict[str, Profile]:
        """Of those that exist, in one round trip."""
        if not member_ids:
            return {}
        with truth():
            found: Any = await self._redis.hmget(keys.MEMBERS, list(member_ids))
        pairs = zip(member_ids, found, strict=True)
        return {member_id: Profile.from_json(raw) for member_id, raw in pairs if raw is not None}

    async def page(self, cursor: str, limit: int) -> tuple[str | None, dict[str, Profile]]:
        """About `limit` members from `cursor` and the next cursor, as `common.scan` has them. Every member that is
        there throughout appears; one may appear twice."""
        following, found = await hash_page(self._redis, keys.MEMBERS, cursor, limit)
        return following, {member_id.decode(): Profile.from_json(raw) for member_id, raw in found.items()}

    async def remove(self, member_id: str) -> bool:
        """Whether the member is gone now; not while it has faces."""
        with truth(outcome="unknown"):
            return bool(await self._remove(keys=[*_BOTH, keys.member_faces(member_id)], args=[member_id]))

    async def faces(self, member_id: str) -> list[BoundFace]:
        """All faces of the member, and perhaps some that are not (any more), in order."""
        with truth():
            found: Any = await self._redis.smembers(keys.member_faces(member_id))
        return sorted(_face(entry.decode()) for entry in found)

    async def faces_of(self, member_ids: Sequence[str]) -> dict[str, list[BoundFace]]:
        """As `faces`, of many members in one round trip."""
        with truth():
            pipe = self._redis.pipeline(transaction=False)
            for member_id in member_ids:
                pipe.smembers(keys.member_faces(member_id))
            answers = await pipe.execute()
        faces = (sorted(_face(entry.decode()) for entry in found) for found in answers)
        return dict(zip(member_ids, faces, strict=True))

    async def begin_binding(self, member_id: str, face: BoundFace) -> None:
        """Call it before the record is written. Raises UnknownMember, MemberFull."""
        arguments: list[str | int] = [member_id, "/".join(face), secrets.token_hex(8), MAX_MEMBER_FACES]
        with truth():  # an entry too many claims nothing
            status = await self._bind(keys=[*_BOTH, keys.member_faces(member_id)], args=arguments)
        match status:
            case b"OK":
                return
            case b"FULL":
                raise MemberFull(
                    f"At most {MAX_MEMBER_FACES} faces may be bound to member {member_id}.",
                    field="member_id",
                    limit=MAX_MEMBER_FACES,
                )
            case _:
                raise unknown_member(member_id)

    async def token(self, member_id: str) -> str:
        """Look at it before the record that decides whether the face is let go."""
        with truth():
            found: Any = await self._redis.hget(keys.MEMBER_BINDINGS, member_id)
        return "" if found is None else str(found.decode())

    async def let_go(self, member_id: str, face: BoundFace, token: str) -> bool:
        """Take the face out of the member's set; False, and nothing done, where a binding was begun since `token`."""
        with truth(outcome="unknown"):
            names = [keys.MEMBER_BINDINGS, keys.member_faces(member_id)]
            return bool(await self._let_go(keys=names, args=[member_id, "/".join(face), token]))


_BOTH = (keys.MEMBERS, keys.MEMBER_BINDINGS)


def _face(entry: str) -> BoundFace:
    store, _, face_id = entry.partition("/")
    return store, face_id


def unknown_member(member_id: str) -> UnknownMember:
    return UnknownMember(
        f"Member {member_id} does not exist; PUT /v1/members/{member_id} creates it.", field="member_id"
    )
