"""`facegrid camera` on a folder and on a video, with a real cluster whose gateway is killed in the middle."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest
from redis.asyncio import Redis

from common.intervals import Interval, merge
from common.limits import REENTRY_WINDOW_S
from common.settings import EncoderSettings
from common.truth import connect
from common.visits import Visits
from deploy.client.http import Client
from deploy.client.moment import as_text, now_ms
from deploy.demo.shoppers import Shopper, shoppers
from deploy.local.cluster import LocalCluster
from deploy.local.embedded_redis import free_port
from gateway.encoder.decode import decode
from tests.conftest import REPOSITORY
from tests.deploy.camera.videos import filmed
from tests.deploy.local.test_supervisor import until

pytestmark = pytest.mark.cluster

PEOPLE = 5
MINUTE_MS = 60_000
A_SECOND = 5
"""frames"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with LocalCluster(tmp_path_factory.mktemp("cluster"), shards=1, port=free_port()) as running:
        yield running


@pytest.fixture(scope="module")
def people() -> list[Shopper]:
    return shoppers(PEOPLE, photos_each=2)


@pytest.fixture
async def truth(cluster: LocalCluster) -> AsyncIterator[Redis]:
    client = connect(cluster.redis_url, timeout_s=5)
    yield client
    await client.aclose()


def start_ms() -> int:
    """Three hours ago, on the minute."""
    return (now_ms() - 3 * 60 * MINUTE_MS) // MINUTE_MS * MINUTE_MS


def camera(cluster: LocalCluster, store: str, spool: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "deploy.cli", "camera", store, *arguments]
    command += ["--spool", str(spool), "--url", cluster.url, "--key", cluster.key]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=REPOSITORY)


def waiting(spool: Path) -> int:
    return len(list((spool / "waiting").glob("*.msgpack")))


def through_an_outage(cluster: LocalCluster, store: str, spool: Path, agent: subprocess.Popen[str]) -> str:
    """Kill the gateway once the first person was sent, let it come back while others wait; what the agent printed."""
    with Client(cluster.url, cluster.key) as client:
        until(lambda: list(client.faces(store)), timeout_s=60)
    with cluster.held_down("gateway"):
        until(lambda: waiting(spool) >= 2, timeout_s=60)
        assert agent.stdout is not None
        heard = agent.stdout.readline()  # the agent has noticed
    output, _ = agent.communicate(timeout=120)
    assert agent.returncode == 0, heard + output
    assert waiting(spool) == 0
    cluster.wait_ready()
    return heard + output


async def visits(truth: Redis, store: str) -> list[Interval]:
    """Of everybody, sorted; nobody has two."""
    reader = Visits(truth)
    found = await reader.intervals(store, sorted(await reader.dates(store)))
    joined = [merge(intervals, REENTRY_WINDOW_S * 1000) for intervals in found.values()]
    assert all(len(intervals) == 1 for intervals in joined), found
    return sorted(interval for (interval,) in joined)


async def test_a_folder_of_photos_is_counted_whole_and_with_its_times_while_the_gateway_dies(
    cluster: LocalCluster, truth: Redis, people: list[Shopper], tmp_path: Path
) -> None:
    folder, spool, start = tmp_path / "photos", tmp_path / "spool", start_ms()
    folder.mkdir()
    for nth, photo in enumerate(person.photos[look] for look in (0, 1) for person in people):
        (folder / f"{nth:03}.jpg").write_bytes(photo)
    with Client(cluster.url, cluster.key) as client:
        client.put_store("vienna", group="vienna")
    with camera(cluster, "vienna", spool, "--folder", str(folder), "--start", as_text(start)) as agent:
        output = through_an_outage(cluster, "vienna", spool, agent)
    first_looks = [start + MINUTE_MS * nth for nth in range(PEOPLE)]
    assert await visits(truth, "vienna") == [(at_ms, at_ms + PEOPLE * MINUTE_MS) for at_ms in first_looks]
    assert f"{2 * PEOPLE} frames, {2 * PEOPLE} people; {2 * PEOPLE} sightings sent: {2 * PEOPLE} counted." in output
    assert "Sightings are kept." in output
    assert "The gateway answers again." in output


async def test_a_video_is_counted_whole_and_with_its_times_while_the_gateway_dies(
    cluster: LocalCluster, truth: Redis, people: list[Shopper], tmp_path: Path
) -> None:
    """Everybody is seen for a second, the last one for seven; between two nobody for three."""
    video, spool, start = tmp_path / "v.avi", tmp_path / "spool", start_ms()
    settings = EncoderSettings()
    looks = [decode(person.photos[0], settings) for person in people]
    nobody = np.full_like(looks[0], 128)
    seconds = [(look, 1) for look in looks[:-1]] + [(looks[-1], 7)]
    frames = [frame for look, stay in seconds for frame in [look] * stay * A_SECOND + [nobody] * 3 * A_SECOND]
    filmed(video, frames, A_SECOND)
    with Client(cluster.url, cluster.key) as client:
        client.put_store("graz", group="graz")
    with camera(cluster, "graz", spool, "--video", str(video), "--start", as_text(start)) as agent:
        output = through_an_outage(cluster, "graz", spool, agent)
    came = [start + 4000 * nth for nth in range(PEOPLE)]
    last = 7000 - 1000 // A_SECOND
    assert await visits(truth, "graz") == [(at_ms, at_ms) for at_ms in came[:-1]] + [(came[-1], came[-1] + last)]
    assert f"{len(frames)} frames, {PEOPLE} people; {PEOPLE + 1} sightings sent" in output


async def test_the_same_folder_again_after_a_kill_changes_no_figure(
    cluster: LocalCluster, truth: Redis, people: list[Shopper], tmp_path: Path
) -> None:
    folder, spool, start = tmp_path / "photos", tmp_path / "spool", start_ms()
    folder.mkdir()
    for nth, person in enumerate(people):
        (folder / f"{nth:03}.jpg").write_bytes(person.photos[0])
    arguments = ["--folder", str(folder), "--start", as_text(start)]
    with Client(cluster.url, cluster.key) as client:
        client.put_store("linz", group="linz")
        with camera(cluster, "linz", spool, *arguments) as agent:
            until(lambda: list(client.faces("linz")), timeout_s=60)
            agent.kill()
    for _ in range(2):
        with camera(cluster, "linz", spool, *arguments) as agent:
            output, _ = agent.communicate(timeout=120)
            assert agent.returncode == 0, output
    assert await visits(truth, "linz") == [(start + MINUTE_MS * nth, start + MINUTE_MS * nth) for nth in range(PEOPLE)]


def test_a_store_that_is_not_there_is_said_before_any_photo_is_looked_at(cluster: LocalCluster, tmp_path: Path) -> None:
    with camera(cluster, "nowhere", tmp_path / "spool", "--folder", str(tmp_path)) as agent:
        output, _ = agent.communicate(timeout=60)
    assert agent.returncode == 1
    assert "UNKNOWN_STORE" in output
    assert not (tmp_path / "spool").exists()
