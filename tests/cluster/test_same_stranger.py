"""Two processes see the same stranger at the same time: one face, because each commits at the version it searched."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from deploy.local.cluster import LocalCluster
from deploy.local.embedded_redis import free_port
from tests.conftest import REPOSITORY

pytestmark = pytest.mark.cluster
STRANGERS = 20


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with LocalCluster(tmp_path_factory.mktemp("cluster"), shards=1, port=free_port()) as cluster:
        yield cluster.url


class Process:
    """A camera in a process of its own."""

    def __init__(self, url: str, store: str) -> None:
        command = [sys.executable, "-m", "tests.cluster.camera", url, store]
        self._child = subprocess.Popen(
            command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def tell(self, line: str) -> None:
        assert self._child.stdin is not None
        self._child.stdin.write(line + "\n")
        self._child.stdin.flush()

    def answer(self) -> str:
        assert self._child.stdout is not None
        return self._child.stdout.readline().strip()

    def end(self) -> None:
        self._child.kill()
        self._child.wait()


def both(cameras: list[Process], line: str) -> list[str]:
    """Both do it at once: neither is waited for before the other is told."""
    for camera in cameras:
        camera.tell(line)
    return [camera.answer() for camera in cameras]


def faces_after(url: str, store: str, command: str) -> tuple[int, list[list[str]]]:
    """Both cameras find nobody, then both enrol: the number of faces, and who each camera says it was."""
    httpx.put(f"{url}/v1/stores/{store}", json={"group": store}, timeout=30).raise_for_status()
    cameras = [Process(url, store), Process(url, store)]
    try:
        said = []
        for seed in range(STRANGERS):
            assert both(cameras, f"look {seed}") == ["no_match", "no_match"]
            said.append(both(cameras, command))
    finally:
        for camera in cameras:
            camera.end()
    return httpx.get(f"{url}/v1/stores/{store}", timeout=30).json()["faces"], said


def test_a_stranger_seen_by_two_processes_becomes_one_face(url: str) -> None:
    faces, said = faces_after(url, "checked", "enrol")
    assert faces == STRANGERS
    assert all(one == other for one, other in said)


def test_without_the_expected_version_the_same_race_makes_two_faces(url: str) -> None:
    """The test above can fail: it is the check that makes the difference, not luck."""
    faces, _ = faces_after(url, "unchecked", "enrol-unchecked")
    assert faces == 2 * STRANGERS
