"""A network camera that breaks off, answers late and comes back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.camera import live as module
from deploy.camera import opencv
from deploy.camera.live import LONGEST_PAUSE_S, Live, pause_s
from deploy.client.moment import now_ms
from tests.deploy.camera.videos import filmed


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cv2")
    monkeypatch.setattr(module, "pause_s", lambda _: 0.001)


class Camera:
    """One call of a camera: so many frames, each after the test lets it come; then it is lost."""

    def __init__(self, frames: Iterator[int]) -> None:
        self._frames = frames
        self._grey = 0
        self.released = False

    def isOpened(self) -> bool:  # noqa: N802
        return True

    def grab(self) -> bool:
        self._grey = next(self._frames, -1)
        return self._grey >= 0

    def retrieve(self) -> tuple[bool, Any]:
        return True, np.full((4, 4, 3), self._grey, dtype=np.uint8)

    def get(self, _: int) -> float:
        return 0.0

    def release(self) -> None:
        self.released = True


def test_a_lost_camera_is_called_again_and_both_are_said_once() -> None:
    stop, heard = threading.Event(), list[str]()
    seen = threading.Semaphore(0)

    def frames(*greys: int) -> Iterator[int]:
        """The last one only after the one before was taken, as on a slow day."""
        for grey in greys:
            yield grey
            seen.acquire()

    calls = [Camera(frames(1, 2)), Camera(iter([])), Camera(iter([])), Camera(frames(3))]
    left = list(calls)
    live = Live("rtsp://test", stop, 0.001, heard.append, lambda _: left.pop(0) if left else Camera(iter([])))
    found: list[int] = []
    for frame in live.frames():
        found.append(int(frame.pixels[0, 0, 0]))
        assert abs(now_ms() - frame.at_ms) < 5000
        if len(found) == 3:
            stop.set()
        seen.release()
    live.close()
    assert found == [1, 2, 3]
    assert heard[:3] == [
        "The camera answers.",
        "The camera is lost; calling it again until it answers.",
        "The camera answers.",
    ]
    assert all(call.released for call in calls)


def test_the_newest_frame_wins_when_looking_takes_longer_than_filming() -> None:
    stop, all_read = threading.Event(), threading.Event()
    first_taken = threading.Event()

    def frames() -> Iterator[int]:
        yield 1
        first_taken.wait(20)
        yield from range(2, 100)
        all_read.set()
        stop.wait(20)

    live = Live("rtsp://test", stop, 0.001, open_stream=lambda _: Camera(frames()))
    found: list[int] = []
    for frame in live.frames():
        found.append(int(frame.pixels[0, 0, 0]))
        first_taken.set()
        all_read.wait(20)
        if found[-1] == 99:
            stop.set()
    live.close()
    assert found == [1, 99]


def test_it_ends_when_told_even_if_no_frame_ever_comes() -> None:
    stop = threading.Event()
    live = Live("rtsp://test", stop, open_stream=lambda _: Camera(iter([])))
    threading.Timer(0.05, stop.set).start()
    assert list(live.frames()) == []
    live.close()
    live.close()


def test_a_real_stream_is_read_and_read_again_when_it_ends(tmp_path: Path) -> None:
    """OpenCV opens a file as it does a camera; its end is a camera that hangs up."""
    video = filmed(tmp_path / "v.avi", [np.full((120, 160, 3), 80, dtype=np.uint8)] * 3, per_second=10)
    stop, opened = threading.Event(), list[str]()

    def open_stream(url: str) -> opencv.Capture:
        opened.append(url)
        return opencv.open_stream(url)

    live = Live(str(video), stop, 0.001, open_stream=open_stream)
    for frame in live.frames():
        assert abs(int(frame.pixels[60, 80, 0]) - 80) < 8
        if len(opened) >= 3:
            stop.set()
    live.close()


def test_a_camera_that_is_not_there_is_no_frame_and_no_error() -> None:
    capture = opencv.open_stream("rtsp://127.0.0.1:9/none")
    assert not capture.grab()
    capture.release()


def test_pauses_grow_and_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert [pause_s(lost) for lost in (1, 2, 3)] == [1.0, 2.0, 4.0]
    assert module.pause_s(10_000) == LONGEST_PAUSE_S
