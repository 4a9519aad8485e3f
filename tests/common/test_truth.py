"""What a failure of Redis says about a write, and which URLs are understood."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from common.cluster_map import ClusterMap, StoreConfig
from common.errors import TruthUnavailable
from common.ledger import Ledger, Put
from common.truth import SentinelUrl, check_url, connect
from deploy.local.embedded_redis import free_port, start_embedded_redis

PUT = Put("ada", b"record", b"templates")


@pytest.mark.parametrize(
    ("url", "understood"),
    [
        ("redis+sentinel://h/s", SentinelUrl((("h", 26379),), "s", 0, None, None)),
        ("redis+sentinel://h:1,[::1]:2/s/3", SentinelUrl((("h", 1), ("::1", 2)), "s", 3, None, None)),
        ("redis+sentinel://u:p%40q@h:1,i/s", SentinelUrl((("h", 1), ("i", 26379)), "s", 0, "u", "p@q")),
        ("redis+sentinel://:p@h/s/", SentinelUrl((("h", 26379),), "s", 0, None, "p")),
    ],
)
def test_sentinel_urls(url: str, understood: SentinelUrl) -> None:
    check_url(url)
    assert SentinelUrl.parse(url) == understood


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://secret@h",
        "redis+sentinel://secret@/s",
        "redis+sentinel://secret@h,/s",
        "redis+sentinel://secret@h:many/s",
        "redis+sentinel://secret@h/s/zero",
        "redis+sentinel://secret@h/s?db=1",
        "secret://h",
    ],
)
def test_a_url_that_is_not_understood_is_not_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="redis\\+sentinel") as refused:
        check_url(url)
    assert "secret" not in str(refused.value)


class Server:
    def __init__(self, data: Path) -> None:
        self.port = free_port()
        self.data = data
        self.process = start_embedded_redis(data, self.port)
        self.redis = connect(f"redis://127.0.0.1:{self.port}/0", timeout_s=0.5)
        self.config = StoreConfig("A", "s1")

    async def commit(self) -> int:
        return (await Ledger(self.redis).commit("A", self.config.incarnation, puts=[PUT])).version


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    one = Server(tmp_path)
    one.config = await ClusterMap(one.redis).create(one.config)
    await one.commit()
    yield one
    await one.redis.aclose()
    one.process.kill()
    one.process.wait()


async def outcome(server: Server) -> str:
    with pytest.raises(TruthUnavailable) as failed:
        await server.commit()
    return str(failed.value.extra["outcome"])


REFUSALS = {
    "full": ("config", "set", "maxmemory", "1"),
    "a replica by now": ("replicaof", "127.0.0.1", "1"),
    "without the replicas it needs": ("config", "set", "min-replicas-to-write", "1"),
    "behind a password": ("config", "set", "requirepass", "x"),
    "closed to scripts": ("acl", "setuser", "default", "-@scripting"),
}


@pytest.mark.parametrize("how", REFUSALS)
async def test_a_server_that_refuses_has_changed_nothing_and_says_so(server: Server, how: str) -> None:
    fresh = connect(f"redis://127.0.0.1:{server.port}/0", timeout_s=0.5)
    await server.redis.execute_command(*REFUSALS[how])  # type: ignore[no-untyped-call]  # redis-py has no types for it
    if how == "behind a password":  # those who are in stay in
        await server.redis.aclose()
        server.redis = fresh
    assert await outcome(server) == "unchanged"
    await fresh.aclose()


async def test_a_server_that_nobody_could_connect_to_has_changed_nothing(server: Server) -> None:
    await server.redis.aclose()
    server.process.kill()
    server.process.wait()
    assert await outcome(server) == "unchanged"


async def test_a_server_that_does_not_answer_may_have_done_it(server: Server) -> None:
    server.process.send_signal(signal.SIGSTOP)
    assert await outcome(server) == "unknown"
    server.process.send_signal(signal.SIGCONT)
    assert await Ledger(server.redis).version("A") in {1, 2}


async def test_a_deletion_that_was_half_done_does_not_say_that_nothing_was_changed(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The faces are erased, and then the server turns full before the map is changed."""
    stores = ClusterMap(server.redis)
    erase = stores._erase

    async def then_full(keys: list[str], args: list[str]) -> object:
        done = await erase(keys=keys, args=args)
        await server.redis.config_set("maxmemory", "1")
        return done

    monkeypatch.setattr(stores, "_erase", then_full)
    with pytest.raises(TruthUnavailable) as failed:
        await stores.delete(server.config)
    assert failed.value.extra["outcome"] == "unknown"
    await server.redis.config_set("maxmemory", "0")
    await ClusterMap(server.redis).delete(server.config)  # repeating it finishes the work
    assert await stores.stores() == {}


async def test_a_client_of_sentinels_that_are_away_has_sent_nothing() -> None:
    redis: Redis = connect(f"redis+sentinel://127.0.0.1:{free_port()}/facegrid", timeout_s=0.5)
    with pytest.raises(TruthUnavailable) as failed:
        await Ledger(redis).commit("A", "x", puts=[PUT])
    assert failed.value.extra["outcome"] == "unchanged"
    await redis.aclose()
