"""Webhooks against a real receiver: signed, in order, at least once, and a dead letter in the end."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from common import keys
from common.cluster_map import ClusterMap
from common.errors import Conflict, UnknownEvent, WebhookRefused
from common.events import Events
from common.members import MemberCard
from common.outbox import Outbox
from common.persons import Persons
from common.tasks import end
from common.truth import connect
from common.types import Kind
from deploy.local.embedded_redis import free_port, start_embedded_redis
from gateway.checkout import Checkout
from gateway.receiver import Receiver, message_id, pause_s, sign
from gateway.view import ClusterView
from gateway.webhooks import Webhooks
from tests.gateway.checkout import announce, eventually, open_store, put_face
from tests.gateway.in_process import cluster

SECRET = "a secret of enough characters"  # noqa: S105


@dataclass
class Shop:
    """A receiver: an HTTP server that notes what it gets and answers what `status` says, or nothing for None."""

    status: Callable[[dict[str, Any]], int | None] = lambda _: 204
    url: str = ""
    got: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    def ids(self, store: str = "A") -> list[str]:
        return [event["id"] for event in self.got if event["store"] == store]

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:-2]
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head)}
                body = await reader.readexactly(int(headers["content-length"]))
                event = json.loads(body)
                self.got.append(event)
                self.headers.append(headers)
                self.bodies.append(body)
                status = self.status(event)
                if status is None:
                    await reader.read()
                writer.write(f"HTTP/1.1 {status} x\r\nLocation: {self.url}/other\r\nContent-Length: 0\r\n\r\n".encode())
        writer.close()


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    there = Shop()
    server = await asyncio.start_server(there.answer, "127.0.0.1", 0)
    there.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    yield there
    server.close()


async def cards(ids: Any) -> dict[str, MemberCard]:
    return {"c-1": MemberCard("c-1", "Ada", None, None, {})} if "c-1" in ids else {}


@contextlib.asynccontextmanager
async def posting(
    redis: Redis, url: str, attempts: int = 3, leading: Callable[[], bool] = lambda: True
) -> AsyncIterator[Webhooks]:
    receiver = Receiver(url, SECRET, attempts, timeout_s=0.5, pause_s=lambda _: 0.01)
    view = ClusterView(ClusterMap(redis), 0.1)
    await view.refresh()
    webhooks = Webhooks(view, (Events(redis), Outbox(redis)), Checkout(Persons(redis), cards), receiver, 0.1)
    tasks = [asyncio.create_task(view.run()), asyncio.create_task(webhooks.run(leading))]
    yield webhooks
    for task in tasks:
        await end(task)
    await webhooks.close()


def test_the_signature_is_that_of_the_convention() -> None:
    """The example of the Standard Webhooks specification's reference implementations."""
    key = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    signed = sign("whsec_" + key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_pauses_grow_and_stay_below_a_minute() -> None:
    assert 0.5 <= pause_s(1) <= 1
    assert 4 <= pause_s(4) <= 8
    assert all(30 <= pause_s(attempt) <= 60 for attempt in range(7, 200))


async def test_every_event_is_posted_signed_and_in_order(redis: Redis, shop: Shop) -> None:
    store = await open_store(redis)
    await Outbox(redis).begin()
    ada = await put_face(redis, store, "ada", Kind.MEMBER, "c-1")
    ids = [await announce(redis, "A", ada) for _ in range(5)]
    async with posting(redis, shop.url):
        await eventually(lambda: len(shop.got) == 5)
        ids += [await announce(redis, "A") for _ in range(5)]
        await eventually(lambda: len(shop.got) == 10)
    assert shop.ids() == ids
    assert shop.got[0]["member"]["display_name"] == "Ada"
    assert shop.got[0]["face"] == {"store": "A", "face_id": "ada", "kind": "member"}
    assert len({headers["webhook-id"] for headers in shop.headers}) == 10
    for headers, body in zip(shop.headers, shop.bodies, strict=True):
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        expected = base64.b64encode(hmac.digest(SECRET.encode(), signed, hashlib.sha256)).decode()
        assert headers["webhook-signature"] == f"v1,{expected}"


async def test_a_store_that_is_created_later_has_its_first_event_told_and_history_is_not(
    redis: Redis, shop: Shop
) -> None:
    await open_store(redis)
    await redis.xadd(keys.events("A"), {"t": "arrival", "k": "~v00", "a": 1}, id="1-0")
    async with posting(redis, shop.url):
        async with asyncio.timeout(30):
            while not await redis.exists(keys.WEBHOOK_SINCE):
                await asyncio.sleep(0.01)
        await open_store(redis, "B")
        first = await announce(redis, "B")
        second = await announce(redis, "A")
        await eventually(lambda: len(shop.got) == 2)
    assert (shop.ids("B"), shop.ids("A")) == ([first], [second])


@pytest.mark.parametrize("failure", [500, 404, 302, None])
async def test_one_event_that_is_refused_is_tried_again_becomes_a_dead_letter_and_holds_up_nobody(
    redis: Redis, shop: Shop, failure: int | None
) -> None:
    await open_store(redis)
    await open_store(redis, "B")
    await Outbox(redis).begin()
    bad = await announce(redis, "A")
    good = await announce(redis, "A")
    other = await announce(redis, "B")
    shop.status = lambda event: failure if event["id"] == bad and event["store"] == "A" else 200
    async with posting(redis, shop.url):
        await eventually(lambda: good in shop.ids() and other in shop.ids("B"))
        assert shop.ids() == [bad, bad, bad, good]
        assert len({headers["webhook-id"] for headers in shop.headers}) == 3
        (letter,) = await Outbox(redis).letters("0", 10)
        assert (letter.store, letter.event_id) == ("A", bad)
        assert str(failure or "within 0.5 s") in letter.error
        assert shop.url not in letter.error


async def test_a_receiver_that_was_away_gets_everything_in_order_once_it_is_there(redis: Redis) -> None:
    port, shop = free_port(), Shop()
    await open_store(redis)
    await Outbox(redis).begin()
    ids = [await announce(redis, "A") for _ in range(20)]
    async with posting(redis, f"http://127.0.0.1:{port}", attempts=10_000):
        await asyncio.sleep(0.1)  # some attempts fail; with none of them the rest is as true
        server = await asyncio.start_server(shop.answer, "127.0.0.1", port)
        await eventually(lambda: len(shop.got) >= 20)
        server.close()
    assert shop.ids() == ids


async def test_who_takes_over_goes_on_after_the_last_event_that_was_taken(redis: Redis, shop: Shop) -> None:
    await open_store(redis)
    await Outbox(redis).begin()
    leads = {"first": True, "second": False}
    ids = [await announce(redis, "A") for _ in range(3)]
    async with (
        posting(redis, shop.url, leading=lambda: leads["first"]),
        posting(redis, shop.url, leading=lambda: leads["second"]) as second,
    ):
        await eventually(lambda: len(shop.got) == 3)
        async with asyncio.timeout(30):
            while (await Outbox(redis).cursors(["A"]))["A"] != ids[-1]:
                await asyncio.sleep(0.01)
        leads["first"] = False
        assert not second._lanes
        leads["second"] = True
        ids += [await announce(redis, "A") for _ in range(3)]
        await eventually(lambda: len(shop.got) >= 6)
    assert list(dict.fromkeys(shop.ids())) == ids  # one that was under way may come twice


async def test_a_former_leader_that_was_held_up_does_not_have_its_successors_tell_old_events_again(
    redis: Redis, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await open_store(redis)
    await Outbox(redis).begin()
    leads, goes_on = dict.fromkeys("abc", False), asyncio.Semaphore(0)

    async def position() -> str:
        return (await Outbox(redis).cursors(["A"]))["A"]

    async with (
        posting(redis, shop.url, leading=lambda: leads["a"]) as former,
        posting(redis, shop.url, leading=lambda: leads["b"]),
        posting(redis, shop.url, leading=lambda: leads["c"]),
    ):
        post = former._receiver_there().post

        async def held_up(message: str, body: bytes) -> str:
            await goes_on.acquire()
            return await post(message, body)

        monkeypatch.setattr(former._receiver, "post", held_up)
        leads["a"] = True
        ids = [await announce(redis, "A")]
        await eventually(lambda: former._lanes)
        leads["b"] = True  # and the former does not know yet
        ids += [await announce(redis, "A") for _ in range(3)]
        async with asyncio.timeout(30):
            while await position() != ids[-1]:
                await asyncio.sleep(0.01)
        goes_on.release()
        await eventually(lambda: former._cursors["A"] == ids[0])
        assert await position() == ids[-1]
        leads |= {"a": False, "b": False, "c": True}
        last = await announce(redis, "A")
        await eventually(lambda: last in shop.ids())
    assert shop.ids() == [*ids, ids[0], last]


async def test_an_outage_of_redis_skips_no_event(tmp_path: Path, shop: Shop) -> None:
    port = free_port()
    server = start_embedded_redis(tmp_path, port)
    redis = connect(f"redis://127.0.0.1:{port}/0", 1)
    try:
        await open_store(redis)
        await Outbox(redis).begin()
        ids = [await announce(redis, "A") for _ in range(20)]
        kills = {ids[3], ids[9]}

        def killing(event: dict[str, Any]) -> int:
            if event["id"] in kills:
                kills.discard(event["id"])
                server.kill()
                server.wait()
            return 200

        shop.status = killing
        async with posting(redis, shop.url):
            while kills or server.poll() is not None:
                if server.poll() is not None:
                    server = start_embedded_redis(tmp_path, port)
                await asyncio.sleep(0.01)
            await eventually(lambda: ids[-1] in shop.ids())
        assert list(dict.fromkeys(shop.ids())) == ids
        assert await Outbox(redis).letters("0", 10) == []
    finally:
        await redis.aclose()
        server.kill()
        server.wait()


async def test_a_dead_letter_is_sent_again_on_request_and_dropped_when_taken(redis: Redis, shop: Shop) -> None:
    await open_store(redis)
    outbox = Outbox(redis)
    event_id = await announce(redis, "A")
    await outbox.bury("A", event_id, "it answered 500")
    await outbox.bury("A", "1-0", "it answered 500")
    letter, lost = await outbox.letters("0", 10)
    async with posting(redis, shop.url, leading=lambda: False) as webhooks:
        shop.status = lambda _: 500
        with pytest.raises(WebhookRefused, match="it answered 500"):
            await webhooks.retry(letter.id)
        assert await outbox.letter(letter.id) is not None
        shop.status = lambda _: 200
        await webhooks.retry(letter.id)
        assert shop.headers[-1]["webhook-id"] == message_id("A", event_id)
        with pytest.raises(UnknownEvent, match="no dead letter"):
            await webhooks.retry(letter.id)
        with pytest.raises(UnknownEvent, match="kept no more"):
            await webhooks.retry(lost.id)
    silent = Webhooks(
        ClusterView(ClusterMap(redis), 0.1), (Events(redis), outbox), Checkout(Persons(redis), cards), None
    )
    await silent.run(lambda: True)  # ends at once
    with pytest.raises(Conflict):
        await silent.retry(lost.id)


async def test_the_gateway_that_leads_posts_what_is_seen_and_lists_what_was_not_taken(
    redis_url: str, redis: Redis, shop: Shop
) -> None:
    shop.status = lambda event: 500 if event["type"] == "new_visitor" else 200
    settings: dict[str, Any] = {"webhook_url": shop.url, "webhook_secret": SECRET, "webhook_attempts": 1}
    async with cluster(redis_url, shards=1, **settings) as running:
        await running.create("A")
        new = await announce(redis, "A", kind="new_visitor")
        known = await announce(redis, "A")
        await eventually(lambda: shop.ids() == [new, known])
        async with asyncio.timeout(30):
            while not (letters := (await running.http.get("/v1/webhooks/dead-letters")).json()["dead_letters"]):
                await asyncio.sleep(0.01)
        assert [(letter["store"], letter["event_id"]) for letter in letters] == [("A", new)]
        path = f"/v1/webhooks/dead-letters/{letters[0]['id']}"
        refused = await running.http.post(f"{path}/retry")
        assert (refused.status_code, refused.json()["code"]) == (503, "WEBHOOK_REFUSED")
        shop.status = lambda _: 200
        assert (await running.http.post(f"{path}/retry")).status_code == 204
        gone = await running.http.delete(path)
        assert (gone.status_code, gone.json()["code"]) == (404, "UNKNOWN_EVENT")
