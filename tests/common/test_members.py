"""Members in Redis against a real server: profiles, and a set that never lacks a face that is bound."""

from __future__ import annotations

from dataclasses import replace

import pytest
from redis.asyncio import Redis

from common import keys
from common.errors import MemberFull, UnknownMember
from common.limits import MAX_MEMBER_FACES
from common.members import MemberBook, MemberCard, Profile
from common.scan import START

ADA = Profile(MemberCard("c-1", "Ada Lovelace", "gold", "crm-7", {"language": "en"}), 1.0, 1.0)
FACE = ("A", "x")


@pytest.fixture
def book(redis: Redis) -> MemberBook:
    return MemberBook(redis)


async def test_a_profile_is_kept_whole_and_replaced_with_its_creation_kept(book: MemberBook) -> None:
    assert await book.put(ADA) == (ADA, True)
    assert await book.profiles(["c-1", "nobody"]) == {"c-1": ADA}
    plain = Profile(MemberCard("c-1", "Ada"), 9.0, 9.0)
    assert await book.put(plain) == (replace(plain, created=1.0), False)
    assert (await book.profiles(["c-1"]))["c-1"].card.attributes == {}
    assert await book.profiles([]) == {}


async def test_every_member_is_on_one_of_the_pages(book: MemberBook) -> None:
    for n in range(300):
        await book.put(Profile(MemberCard(f"c-{n}", "Ada"), 1.0, 1.0))
    seen: set[str] = set()
    cursor: str | None = START
    pages = 0
    while cursor is not None:
        cursor, page = await book.page(cursor, 20)
        seen |= page.keys()
        pages += 1
    assert seen == {f"c-{n}" for n in range(300)}
    assert pages > 5


async def test_faces_are_bound_to_members_that_exist_only(book: MemberBook, redis: Redis) -> None:
    with pytest.raises(UnknownMember, match="nobody"):
        await book.begin_binding("nobody", FACE)
    assert await redis.exists(keys.member_faces("nobody"), keys.MEMBER_BINDINGS) == 0


async def test_one_face_too_many_is_refused_but_one_of_the_first_may_be_bound_again(book: MemberBook) -> None:
    await book.put(ADA)
    for n in range(MAX_MEMBER_FACES):
        await book.begin_binding("c-1", ("A", f"f{n}"))
    with pytest.raises(MemberFull) as refused:
        await book.begin_binding("c-1", FACE)
    assert (refused.value.field, refused.value.limit) == ("member_id", MAX_MEMBER_FACES)
    await book.begin_binding("c-1", ("A", "f0"))
    assert len(await book.faces("c-1")) == MAX_MEMBER_FACES


async def test_a_face_is_not_let_go_if_a_binding_was_begun_since_the_look(book: MemberBook) -> None:
    await book.put(ADA)
    await book.begin_binding("c-1", FACE)
    token = await book.token("c-1")
    await book.begin_binding("c-1", FACE)
    assert not await book.let_go("c-1", FACE, token)
    assert await book.faces("c-1") == [FACE]
    assert await book.let_go("c-1", FACE, await book.token("c-1"))
    assert await book.faces("c-1") == []


async def test_a_look_from_before_the_member_was_created_anew_lets_nothing_go(book: MemberBook) -> None:
    await book.put(ADA)
    await book.begin_binding("c-1", FACE)
    token = await book.token("c-1")
    assert await book.let_go("c-1", FACE, token)
    assert await book.remove("c-1")
    assert await book.token("c-1") == ""
    await book.put(ADA)
    await book.begin_binding("c-1", FACE)
    assert not await book.let_go("c-1", FACE, token)
    assert not await book.let_go("c-1", FACE, "")


async def test_a_member_with_faces_is_not_removed(book: MemberBook, redis: Redis) -> None:
    await book.put(ADA)
    await book.begin_binding("c-1", FACE)
    assert not await book.remove("c-1")
    assert await book.profiles(["c-1"]) == {"c-1": ADA}
    assert await book.let_go("c-1", FACE, await book.token("c-1"))
    assert await book.remove("c-1")
    assert await redis.keys("fg:{members}*") == []
    assert await book.remove("c-1")  # once more is no error
