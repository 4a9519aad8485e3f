"""`python -m shard` as a real process: how it starts, how it refuses to, how it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest
from redis.asyncio import Redis

from common import wire
from common.cluster_map import ClusterMap
from common.types import DLIB_SPACE, ReplicaState
from deploy.local.children import start_child
from deploy.local.embedded_redis import free_port
from tests.conftest import REPOSITORY
from tests.shard.helpers import PATIENCE_S, Writer, unit

pytestmark = pytest.mark.cluster


def environment(**settings: object) -> dict[str, str]:
    mine = {f"FACEGRID_{name.upper()}": str(value) for name, value in settings.items()}
    return {name: value for name, value in os.environ.items() if not name.startswith("FACEGRID_")} | mine


def refused(**settings: object) -> subprocess.CompletedProcess[str]:
    """Run until it gives up, which it is expected to do at once."""
    return subprocess.run(
        [sys.executable, "-m", "shard"],
        cwd=REPOSITORY,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


@pytest.fixture
def process(redis_url: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    port = free_port()
    settings = environment(port=port, redis_url=redis_url, heartbeat_s=0.2, heartbeat_ttl_s=0.6)
    child = start_child([sys.executable, "-m", "shard"], env=settings | {"PYTHONPATH": str(REPOSITORY)})
    yield child, f"http://127.0.0.1:{port}"
    child.kill()
    child.wait()


async def test_it_serves_and_ends_cleanly_on_sigterm(
    redis: Redis, process: tuple[subprocess.Popen[bytes], str]
) -> None:
    child, url = process
    writer = Writer(redis)
    await writer.put(await writer.open("A"), {"f0": unit(1)[0]})
    async with httpx.AsyncClient(trust_env=False) as http, asyncio.timeout(PATIENCE_S):
        while not await _is_served(http, url):
            await asyncio.sleep(0.05)
        assert [beat.url for beat in await ClusterMap(redis).replicas()] == [url]
        child.send_signal(signal.SIGTERM)
        while child.poll() is None:
            await asyncio.sleep(0.02)
    assert child.returncode == 0
    assert await ClusterMap(redis).replicas() == []


async def test_on_sigterm_it_says_so_first_then_takes_its_leave_and_answers_until_the_end(
    redis: Redis, process: tuple[subprocess.Popen[bytes], str]
) -> None:
    child, url = process
    writer, stores = Writer(redis), ClusterMap(redis)
    await writer.put(await writer.open("A"), {"f0": unit(1)[0]})
    said: list[list[str]] = []
    async with httpx.AsyncClient(trust_env=False, base_url=url) as http, asyncio.timeout(PATIENCE_S):
        while not await _is_served(http, url):
            await asyncio.sleep(0.05)
        child.send_signal(signal.SIGTERM)
        while True:
            beats = await stores.replicas()
            try:
                answer = await http.get("/status")
            except httpx.TransportError:
                break
            if [beat.state for beat in beats] not in said[-1:]:
                said.append([beat.state for beat in beats])
            if ReplicaState.DRAINING in said[-1]:
                assert answer.headers["connection"] == "close"
                assert (await http.get("/readyz")).status_code == 503
        while child.poll() is None:
            await asyncio.sleep(0.02)
    assert child.returncode == 0
    assert said in ([["ready"], ["draining"], []], [["draining"], []])


async def test_a_second_sigterm_ends_it_at_once(redis_url: str) -> None:
    port = free_port()
    settings = environment(port=port, redis_url=redis_url, drain_s=300)
    child = start_child([sys.executable, "-m", "shard"], env=settings | {"PYTHONPATH": str(REPOSITORY)})
    url = f"http://127.0.0.1:{port}"
    try:
        async with httpx.AsyncClient(trust_env=False) as http, asyncio.timeout(PATIENCE_S):
            while await _state(http, url) != "ready":
                await asyncio.sleep(0.05)
            child.send_signal(signal.SIGTERM)
            while await _state(http, url) != "draining":
                await asyncio.sleep(0.01)
            child.send_signal(signal.SIGTERM)
            while child.poll() is None:
                await asyncio.sleep(0.01)
        assert child.returncode == -signal.SIGTERM
    finally:
        child.kill()
        child.wait()


async def test_ctrl_c_ends_it_without_the_grace(redis_url: str) -> None:
    port = free_port()
    settings = environment(port=port, redis_url=redis_url, drain_s=300)
    child = start_child([sys.executable, "-m", "shard"], env=settings | {"PYTHONPATH": str(REPOSITORY)})
    try:
        async with httpx.AsyncClient(trust_env=False) as http, asyncio.timeout(PATIENCE_S):
            while await _state(http, f"http://127.0.0.1:{port}") != "ready":
                await asyncio.sleep(0.05)
            child.send_signal(signal.SIGINT)
            while child.poll() is None:
                await asyncio.sleep(0.01)
        assert child.returncode == 130
    finally:
        child.kill()
        child.wait()


async def test_a_replica_that_was_given_up_is_searched_only_after_it_has_caught_up(
    redis: Redis, process: tuple[subprocess.Popen[bytes], str]
) -> None:
    """Writes were called visible without it; from the moment it is announced again it must not search without them."""
    child, url = process
    writer, stores, rows = Writer(redis), ClusterMap(redis), unit(5)
    config = await writer.open("A")
    version = await writer.put(config, {"f0": rows[0]})
    call = wire.SearchCall(DLIB_SPACE, (wire.Query({"A": config.incarnation}, rows[:1], 1),), remaining_ms=5000)
    headers = {"Content-Type": wire.CONTENT_TYPE}
    async with httpx.AsyncClient(trust_env=False, base_url=url, headers=headers) as http, asyncio.timeout(PATIENCE_S):

        async def searched_at() -> int:
            answer = await http.post("/search", content=wire.pack_call(call))
            (reply,) = wire.unpack_reply(answer.content, call)
            return reply.searched["A"].version if reply.searched else 0

        while not await _is_served(http, url):
            await asyncio.sleep(0.05)
        for at in range(1, 4):
            child.send_signal(signal.SIGSTOP)
            while await stores.replicas():
                await asyncio.sleep(0.01)
            version = await writer.put(config, {f"f{at}": rows[at]})
            await asyncio.sleep(0.3 * at)  # from the second turn on the connections have timed out, too
            child.send_signal(signal.SIGCONT)
            while not await stores.replicas():
                await asyncio.sleep(0.001)
            seen = [await searched_at()]
            while seen[-1] != version:
                seen.append(await searched_at())
            assert set(seen) <= {0, version}


async def test_a_replica_that_was_given_up_does_not_bring_back_what_was_erased_meanwhile(
    redis: Redis, process: tuple[subprocess.Popen[bytes], str]
) -> None:
    child, url = process
    writer, stores, rows = Writer(redis), ClusterMap(redis), unit(2)
    config = await writer.open("A")
    await writer.put(config, {"ada": rows[0], "bob": rows[1]})
    call = wire.SearchCall(DLIB_SPACE, (wire.Query({"A": config.incarnation}, rows[:1], 2),), remaining_ms=5000)
    headers = {"Content-Type": wire.CONTENT_TYPE}
    async with httpx.AsyncClient(trust_env=False, base_url=url, headers=headers) as http, asyncio.timeout(PATIENCE_S):

        async def found() -> list[str] | None:
            answer = await http.post("/search", content=wire.pack_call(call))
            (reply,) = wire.unpack_reply(answer.content, call)
            return [one.face_id for one in reply.candidates[0]] if reply.searched else None

        while not await _is_served(http, url):
            await asyncio.sleep(0.05)
        assert await found() == ["ada", "bob"]
        child.send_signal(signal.SIGSTOP)
        while await stores.replicas():
            await asyncio.sleep(0.01)
        await writer.delete(config, ["ada"])
        child.send_signal(signal.SIGCONT)
        while not await stores.replicas():
            await asyncio.sleep(0.001)
        seen = [await found()]
        while seen[-1] is None:
            seen.append(await found())
        assert seen[-1] == ["bob"]


async def _state(http: httpx.AsyncClient, url: str) -> str:
    try:
        return str((await http.get(f"{url}/status")).json()["state"])
    except httpx.TransportError:
        return ""


async def _is_served(http: httpx.AsyncClient, url: str) -> bool:
    try:
        return "A" in (await http.get(f"{url}/status")).json()["stores"]
    except httpx.TransportError:
        return False


def test_a_taken_port_is_a_clear_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = refused(port=port)
    assert done.returncode == 1
    assert done.stderr.startswith(f"facegrid: Cannot listen on 127.0.0.1:{port}: Address already in use")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"port": "many"}, "FACEGRID_PORT"),
        ({"host": "0.0.0.0"}, "FACEGRID_CLUSTER_KEY"),  # noqa: S104  # that it is refused is the point
        ({"shard": "s 1"}, "FACEGRID_SHARD"),
        ({"replica": ""}, "FACEGRID_REPLICA"),
        ({"redis_url": "secret-host"}, "FACEGRID_REDIS_URL"),
        ({"index": "IVF99x"}, "FACEGRID_INDEX: Faiss makes no index 'IVF99x'"),
        ({"index": "IVF64,Flat", "index_parameters": "nprobes=3"}, "FACEGRID_INDEX_PARAMETERS: IVF64,Flat does not"),
    ],
)
def test_a_wrong_setting_is_one_line_and_status_2(settings: dict[str, str], named: str) -> None:
    done = refused(**settings)
    assert done.returncode == 2
    assert named in done.stderr
    assert done.stderr.count("\n") == 1
    assert "secret-host" not in done.stderr
