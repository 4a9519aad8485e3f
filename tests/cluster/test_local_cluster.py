"""The local cluster with all its real processes: it starts, heals, keeps what it acknowledged, and leaves nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import numpy as np
import pytest

from deploy.local.cluster import LocalCluster
from deploy.local.data_folder import DataInUse
from deploy.local.embedded_redis import free_port
from tests.conftest import REPOSITORY

pytestmark = pytest.mark.cluster


def until(condition: Callable[[], object], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.05)


def embedding() -> list[float]:
    row: list[float] = np.random.default_rng().standard_normal(128).tolist()
    return row


def enrol(url: str, store: str, row: list[float]) -> str:
    """A new face with this row, acknowledged; returns its id."""
    answer = httpx.post(f"{url}/v1/stores/{store}/faces", json={"embeddings": [row]}, timeout=20)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["face_id"])


def found(url: str, store: str, row: list[float]) -> str | None:
    """The face matched by a search, None if there is no match or no answer for now."""
    try:
        answer = httpx.post(f"{url}/v1/stores/{store}/search", json={"embeddings": [row]}, timeout=20)
        result = answer.json()["results"][0]
    except (httpx.HTTPError, KeyError):
        return None
    return str(result["candidates"][0]["face_id"]) if result["verdict"] == "match" else None


def put_store(url: str, shard: str | None = None) -> str:
    store = f"store-{uuid4().hex[:8]}"
    answer = httpx.put(f"{url}/v1/stores/{store}", json={} if shard is None else {"shard": shard}, timeout=20)
    assert answer.status_code == 201, answer.text
    return store


def family(pid: int) -> set[int]:
    """The process and everything below it, from /proc."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
    members = {pid}
    while below := {child for child, parent in parents.items() if parent in members} - members:
        members |= below
    return members


def alive(pids: set[int]) -> set[int]:
    left = set()
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        left |= {pid} if state != "Z" else set()
    return left


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with LocalCluster(tmp_path_factory.mktemp("cluster"), shards=2, port=free_port()) as running:
        yield running


@pytest.mark.parametrize("victim", ["s1/a", "gateway", "redis"])
def test_what_was_acknowledged_is_found_after_kill_9_of(cluster: LocalCluster, victim: str) -> None:
    cluster.wait_ready()
    store, row = put_store(cluster.url, "s1"), embedding()
    process = cluster.process(victim)
    face_id = enrol(cluster.url, store, row)
    process.kill()
    until(lambda: cluster.process(victim).pid != process.pid)
    cluster.wait_ready()
    until(lambda: found(cluster.url, store, row) == face_id)
    assert enrol(cluster.url, store, embedding()) != face_id


def test_a_shard_held_down_makes_strangers_inconclusive_until_it_is_back(cluster: LocalCluster) -> None:
    cluster.wait_ready()
    near, far = put_store(cluster.url, "s1"), put_store(cluster.url, "s2")
    row = embedding()
    face_id = enrol(cluster.url, near, row)
    enrol(cluster.url, far, embedding())

    def verdict() -> str:
        answer = httpx.post(f"{cluster.url}/v1/stores/{near}/search", json={"embeddings": [embedding()]}, timeout=20)
        return str(answer.json()["results"][0]["verdict"])

    with cluster.held_down("s2/a"):
        assert verdict() == "inconclusive"
        assert found(cluster.url, near, row) == face_id
    cluster.wait_ready()
    until(lambda: verdict() == "no_match")


def test_a_folder_in_use_is_refused_to_a_second_cluster(cluster: LocalCluster) -> None:
    with pytest.raises(DataInUse, match=cluster.url):
        LocalCluster(cluster.folder.root, port=free_port()).start()
    assert cluster.lacks() is None


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Callable[[], tuple[subprocess.Popen[bytes], str]]]:
    """Starts `facegrid up` on the test's folder and waits until it says that it is ready."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> tuple[subprocess.Popen[bytes], str]:
        port = free_port()
        log = tmp_path / f"up-{port}.log"
        options = ["--shards", "2", "--port", str(port), "--data", str(tmp_path / "data")]
        with log.open("wb") as output:
            command = [sys.executable, "-m", "deploy.cli", "up", *options]
            process = subprocess.Popen(command, stdout=output, stderr=output, cwd=REPOSITORY)
        started.append(process)
        until(lambda: process.poll() is not None or b"Facegrid is ready" in log.read_bytes())
        assert process.poll() is None, log.read_text()
        return process, f"http://127.0.0.1:{port}"

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_up_killed_with_9_leaves_nothing_running_and_the_next_one_has_every_face(
    up: Callable[[], tuple[subprocess.Popen[bytes], str]],
) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux kills children with their parent")
    process, url = up()
    store, row = put_store(url), embedding()
    face_id = enrol(url, store, row)
    members = family(process.pid)
    assert len(members) >= 5  # up, server, two shards, gateway
    process.kill()
    process.wait()
    until(lambda: not alive(members), timeout_s=20)
    _, url = up()
    until(lambda: found(url, store, row) == face_id)


def test_up_asked_to_end_stops_everything_and_exits_with_0(
    up: Callable[[], tuple[subprocess.Popen[bytes], str]],
) -> None:
    process, _ = up()
    members = family(process.pid)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0
    assert not alive(members)


def test_up_goes_on_when_nobody_reads_what_it_prints(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{(port := free_port())}"
    options = ["--shards", "1", "--port", str(port), "--data", str(tmp_path / "data")]
    process = subprocess.Popen([sys.executable, "-m", "deploy.cli", "up", *options], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        while b"Next, in another terminal" not in process.stdout.readline():
            assert process.poll() is None
        process.stdout.close()
        (replica,) = httpx.get(f"{url}/v1/shards").json()["shards"][0]["replicas"]
        (shard,) = (
            pid
            for pid in family(process.pid)
            if f"FACEGRID_PORT={replica['url'].rpartition(':')[2]}" in environment(pid)
        )
        os.kill(shard, signal.SIGKILL)
        until(lambda: httpx.get(f"{url}/v1/shards").json()["shards"][0]["replicas"][0]["url"] != replica["url"])
        process.terminate()
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.wait()


def environment(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/environ").read_text().split("\0")


def test_up_ends_when_its_data_is_taken_away(
    up: Callable[[], tuple[subprocess.Popen[bytes], str]], tmp_path: Path
) -> None:
    process, _ = up()
    members = family(process.pid)
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    assert process.wait(timeout=60) == 1
    assert not alive(members)
    (log,) = tmp_path.glob("up-*.log")
    assert "was removed or replaced" in log.read_text()


def test_the_demo_ends_with_every_answer_right_and_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "deploy.cli", "demo"]
    environment = {**os.environ, "TMPDIR": str(tmp_path), "COLUMNS": "80"}
    done = subprocess.run(command, capture_output=True, check=False, cwd=REPOSITORY, env=environment, timeout=300)
    output = done.stdout.decode()
    assert done.returncode == 0, output + done.stderr.decode()
    assert "0 wrong" in output
    assert "inconclusive (right)" in output
    assert max(map(len, output.splitlines())) <= 80
    assert list(tmp_path.iterdir()) == []
