"""Short commands of different requests leave in one write, and each has its own outcome."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, BusyLoadingError, ReadOnlyError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from common.joined import SHORT, Command, Joined
from common.ledger import Ledger
from common.truth import connect
from deploy.local.embedded_redis import free_port, start_embedded_redis


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[Redis]:
    port = free_port()
    process = start_embedded_redis(tmp_path, port)
    client = connect(f"redis://127.0.0.1:{port}/0", timeout_s=5)
    yield client
    await client.aclose()
    process.kill()
    process.wait()


@pytest.fixture
def sent(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many commands each write carried."""
    assert isinstance(redis, Joined)
    carried: list[int] = []
    send = redis._send

    async def noted(commands: list[Command]) -> list[object]:
        carried.append(len(commands))
        return await send(commands)

    monkeypatch.setattr(redis._together, "_do", noted)
    return carried


async def test_commands_of_one_moment_leave_in_one_write_and_get_their_own_answers(
    redis: Redis, sent: list[int]
) -> None:
    for nth in range(5):
        await redis.hset("h", str(nth), nth)
    found = await asyncio.gather(*(Ledger(redis).thumbnail("A", "x") for _ in range(2)), redis.hget("h", "3"))
    assert found == [None, None, b"3"]
    assert sent == [3]


async def test_an_error_of_one_is_not_that_of_the_others(redis: Redis, sent: list[int]) -> None:
    await redis.set("text", "t")
    wrong, right = await asyncio.gather(redis.hget("text", "x"), redis.get("text"), return_exceptions=True)
    assert isinstance(wrong, ResponseError)
    assert right == b"t"
    assert sent == [2]


async def test_a_script_that_the_server_has_not_seen_is_loaded_and_run(redis: Redis, sent: list[int]) -> None:
    script = redis.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    done = await asyncio.gather(*(script(keys=["n"], args=[step]) for step in (1, 10, 100)))
    assert max(done) == 111
    assert await redis.get("n") == b"111"
    assert max(sent) == 3


async def test_long_commands_go_by_themselves(redis: Redis, sent: list[int]) -> None:
    script = redis.register_script("return #ARGV[1]")
    assert await script(keys=[], args=["x"]) == 1
    before = list(sent)
    assert await script(keys=[], args=[b"x" * (SHORT + 1)]) == SHORT + 1
    assert sent == before


async def test_commands_that_leave_together_with_one_whose_caller_gives_up_are_done(redis: Redis) -> None:
    script = redis.register_script("return redis.call('INCR', KEYS[1])")
    await script(keys=["n"])
    leaves, stays = (asyncio.create_task(script(keys=["n"])) for _ in range(2))
    await asyncio.sleep(0)
    leaves.cancel()
    assert await stays in (2, 3)
    assert leaves.cancelled()


@pytest.mark.parametrize("refusal", [None, BusyLoadingError("LOADING"), AuthenticationError("NOAUTH")])
async def test_of_several_that_a_server_refuses_midway_nobody_says_that_nothing_was_changed(
    redis: Redis, monkeypatch: pytest.MonkeyPatch, refusal: Exception | None
) -> None:
    """The client breaks the connection to a primary that became a replica (None), or takes what the server says for
    its end; the first command may have been done."""

    class Broken:
        def execute_command(self, *_: object, **__: object) -> None: ...

        async def execute(self, raise_on_error: bool) -> list[object]:
            assert not raise_on_error
            if refusal is not None:
                raise refusal
            try:
                raise ReadOnlyError("a replica")
            except ReadOnlyError as error:
                raise RedisConnectionError("The previous master is now a slave") from error

    monkeypatch.setattr(redis, "pipeline", lambda **_: Broken())
    for failed in await asyncio.gather(redis.get("a"), redis.get("b"), return_exceptions=True):
        assert isinstance(failed, RedisConnectionError)
        assert not isinstance(failed, BusyLoadingError | AuthenticationError)
        assert not isinstance(failed.__context__, ReadOnlyError)
