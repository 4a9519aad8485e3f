"""Bindings that meet or are cut short: a bound face is in its member's set, and a repeat finishes the work."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from redis.asyncio import Redis

from common import keys
from common.errors import FaceChanged, TruthUnavailable
from common.settings import GatewaySettings
from tests.gateway.in_process import Cluster, cluster, gateway_app, unit

FACES = [("A", "ada"), ("A", "bob"), ("B", "ada"), ("B", "eve")]
MEMBERS = ("c-1", "c-2")
WRITES = ("begin_binding", "let_go", "remove")


@pytest.fixture
async def chain(redis_url: str) -> AsyncIterator[Cluster]:
    async with cluster(redis_url, shards=1) as running:
        for store in "AB":
            await running.create(store)
        for seed, (store, face_id) in enumerate(FACES):
            await running.enrol(store, unit(seed), face_id=face_id)
        for member in MEMBERS:
            await running.http.put(f"/v1/members/{member}", json={"display_name": member})
        yield running


class Breaking:
    """Lets `after` writes of members and faces through, then Redis is away: before the next one, or right after it."""

    def __init__(self, chain: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = -1
        self.done_first = False
        members = chain.services.members
        for owner, name in [(chain.services.ledger, "commit"), *((members._book, name) for name in WRITES)]:
            monkeypatch.setattr(owner, name, self._wrapped(getattr(owner, name)))

    def _wrapped(self, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def wrapped(*arguments: Any, **named: Any) -> Any:
            self.left -= 1
            if self.left != -1:
                return await call(*arguments, **named)
            if self.done_first:
                await call(*arguments, **named)
            raise TruthUnavailable("Redis: away.", outcome="unknown")

        return wrapped


async def send(chain: Cluster, method: str, path: str) -> int:
    response = await chain.http.request(
        method, f"/v1/members/{path}?wait=committed" if "/" in path else f"/v1/members/{path}"
    )
    assert response.status_code in {200, 204, 404, 409, 503}, response.text
    if response.status_code == 503:
        assert response.json()["outcome"] in {"unchanged", "unknown"}
    return response.status_code


async def check(chain: Cluster, redis: Redis) -> dict[str, set[str]]:
    """The faces bound to each member; fails if a set lacks one, or if the two places in a store disagree."""
    bound: dict[str, set[str]] = {member: set() for member in MEMBERS}
    for store, face_id in FACES:
        face = await chain.services.ledger.face(store, face_id)
        assert face is not None
        standing: Any = await redis.hget(keys.standings(store), face_id)
        assert standing == (f"m:{face.record.member_id}".encode() if face.record.member_id else None)
        if face.record.member_id is not None:
            bound[face.record.member_id].add(f"{store}/{face_id}")
    for member in MEMBERS:
        entries: Any = await redis.smembers(keys.member_faces(member))
        assert bound[member] <= {entry.decode() for entry in entries}
    return bound


async def named(redis: Redis, member: str) -> set[str]:
    entries: Any = await redis.smembers(keys.member_faces(member))
    return {entry.decode() for entry in entries}


async def cut_short_everywhere(
    chain: Cluster, redis: Redis, breaking: Breaking, prepare: Callable[[], Awaitable[None]], method: str, path: str
) -> int:
    """Break the call at every one of its writes, before and after it; the number of breaks. Each time a repeat ends."""
    breaks = 0
    for done_first in (False, True):
        for after in range(100):
            await prepare()
            breaking.left, breaking.done_first = after, done_first
            status = await send(chain, method, path)
            breaking.left = -1
            if status != 503:
                break
            breaks += 1
            await check(chain, redis)
            assert await send(chain, method, path) in {200, 204, 404}
            await check(chain, redis)
    return breaks


async def test_deleting_a_member_cut_short_anywhere_is_finished_by_a_repeat(
    chain: Cluster, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def prepare() -> None:
        assert (await check(chain, redis))["c-1"] == set()
        assert await named(redis, "c-1") == set()
        await chain.http.put("/v1/members/c-1", json={"display_name": "Ada"})
        for store, face_id in FACES:
            assert await send(chain, "PUT", f"c-1/faces/{store}/{face_id}") == 200

    breaks = await cut_short_everywhere(chain, redis, Breaking(chain, monkeypatch), prepare, "DELETE", "c-1")
    assert breaks == 2 * (2 * len(FACES) + 1)


async def test_unbinding_cut_short_anywhere_is_finished_by_a_repeat(
    chain: Cluster, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def prepare() -> None:
        assert await named(redis, "c-1") == set()
        assert await send(chain, "PUT", "c-1/faces/A/ada") == 200

    breaks = await cut_short_everywhere(
        chain, redis, Breaking(chain, monkeypatch), prepare, "DELETE", "c-1/faces/A/ada"
    )
    assert breaks == 4


async def test_binding_to_another_member_cut_short_anywhere_never_loses_a_binding(
    chain: Cluster, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def prepare() -> None:
        assert await send(chain, "PUT", "c-1/faces/A/ada") == 200
        assert (await check(chain, redis)) == {"c-1": {"A/ada"}, "c-2": set()}

    breaking = Breaking(chain, monkeypatch)
    breaks = await cut_short_everywhere(chain, redis, breaking, prepare, "PUT", "c-2/faces/A/ada")
    assert breaks == 4  # the set and the record; that the other's set keeps an entry is no failure
    assert (await check(chain, redis))["c-2"] == {"A/ada"}
    assert await send(chain, "DELETE", "c-1") == 204  # whatever its set still names
    assert (await check(chain, redis))["c-2"] == {"A/ada"}


async def test_a_face_that_others_keep_writing_is_bound_though_the_other_member_still_lists_it(
    chain: Cluster, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await send(chain, "PUT", "c-1/faces/A/ada") == 200

    async def busy(*_: object) -> None:
        raise FaceChanged("The face was written by another request meanwhile.")

    monkeypatch.setattr(chain.services.members, "forget_face", busy)
    assert await send(chain, "PUT", "c-2/faces/A/ada") == 200
    assert (await check(chain, redis))["c-2"] == {"A/ada"}


async def test_a_binding_that_overtakes_an_unbinding_keeps_its_entry(
    chain: Cluster, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record is unbound, the set still names the face, and right then somebody binds it anew."""
    await send(chain, "PUT", "c-1/faces/A/ada")
    book = chain.services.members._book
    let_go, overtaken = book.let_go, False

    async def late(*arguments: Any) -> bool:
        nonlocal overtaken
        if not overtaken:
            overtaken = True
            assert await send(chain, "PUT", "c-1/faces/A/ada") == 200
        return await let_go(*arguments)

    monkeypatch.setattr(book, "let_go", late)
    assert await send(chain, "DELETE", "c-1/faces/A/ada") == 200
    assert await named(redis, "c-1") == set()
    assert (await check(chain, redis))["c-1"] == set()  # looked again, and unbound that one too


async def test_an_unbinding_that_overtakes_a_binding_makes_it_begin_again(
    chain: Cluster, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The set names the face, its record is not written yet, and right then somebody unbinds it."""
    book = chain.services.members._book
    begin, begun = book.begin_binding, 0

    async def overtaken(*arguments: Any) -> None:
        nonlocal begun
        begun += 1
        await begin(*arguments)
        if begun == 1:
            assert await send(chain, "DELETE", "c-1/faces/A/ada") == 200

    monkeypatch.setattr(book, "begin_binding", overtaken)
    assert await send(chain, "PUT", "c-1/faces/A/ada") == 200
    assert begun == 2
    assert (await check(chain, redis))["c-1"] == {"A/ada"}


async def test_a_face_is_not_bound_to_a_member_that_is_deleted_meanwhile(
    chain: Cluster, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = chain.services.members._book
    begin, begun = book.begin_binding, 0

    async def overtaken(*arguments: Any) -> None:
        nonlocal begun
        begun += 1
        await begin(*arguments)
        if begun == 1:
            assert await send(chain, "DELETE", "c-1") == 204

    monkeypatch.setattr(book, "begin_binding", overtaken)
    assert await send(chain, "PUT", "c-1/faces/A/ada") == 404
    assert await check(chain, redis) == {"c-1": set(), "c-2": set()}
    assert await named(redis, "c-1") == set()


async def test_a_face_erased_while_it_is_bound_leaves_nothing_behind(
    chain: Cluster, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = chain.services.members._book
    begin = book.begin_binding

    async def overtaken(*arguments: Any) -> None:
        await begin(*arguments)
        assert (await chain.http.delete("/v1/stores/A/faces/ada")).status_code == 200

    monkeypatch.setattr(book, "begin_binding", overtaken)
    assert await send(chain, "PUT", "c-1/faces/A/ada") == 404
    assert await named(redis, "c-1") == set()
    assert await chain.services.ledger.face("A", "ada") is None


async def test_whatever_two_gateways_do_at_once_a_bound_face_is_in_its_members_set(
    chain: Cluster, redis: Redis, redis_url: str
) -> None:
    seed = random.randrange(10**6)
    dice = random.Random(seed)
    settings = GatewaySettings(redis_url=redis_url, encoder_workers=0, view_refresh_s=0.05)
    async with AsyncExitStack() as stack:
        gateways = [chain, await stack.enter_async_context(gateway_app(settings, chain.shards))]

        async def client(gateway: Cluster) -> None:
            for _ in range(30):
                member, (store, face_id) = dice.choice(MEMBERS), dice.choice(FACES)
                if dice.random() < 0.1:
                    await send(gateway, "DELETE", member)
                    await gateway.http.put(f"/v1/members/{member}", json={"display_name": member})
                else:
                    await send(gateway, dice.choice(["PUT", "DELETE"]), f"{member}/faces/{store}/{face_id}")

        await asyncio.gather(*(client(gateways[n % 2]) for n in range(6)))
        bound = await check(chain, redis)
        for member in MEMBERS:
            await send(chain, "DELETE", member)
        assert await check(chain, redis) == {member: set() for member in MEMBERS}, f"seed {seed}, {bound}"
        assert [await named(redis, member) for member in MEMBERS] == [set(), set()]
