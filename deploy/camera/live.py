"""Frames of a network camera, as they come: the newest frame wins, a lost camera is called again.

A thread reads without pause, because a camera's frames that nobody takes pile up and would be seen late. A frame's time
is this machine's clock when it arrived. The camera's address may hold a password: it is never shown.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from deploy.camera import opencv
from deploy.camera.source import Frame
from deploy.camera.video import EVERY_S
from deploy.client.moment import now_ms

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
CLOSE_TIMEOUT_S = 15.0
STOP_HEARD_S = 0.2


class Live:
    """Ends with `stop`. `report` hears when the camera is lost and when it is back; `open_stream` is for tests that
    inject faults."""

    ends = False

    def __init__(
        self,
        url: str,
        stop: threading.Event,
        every_s: float = EVERY_S,
        report: Callable[[str], None] = lambda _: None,
        open_stream: Callable[[str], opencv.Capture] = opencv.open_stream,
    ) -> None:
        opencv.load()
        self._url = url
        self._every_s = every_s
        self._report = report
        self._open_stream = open_stream
        self._newest: Frame | None = None
        self._changed = threading.Condition()
        self._stop = stop
        self._ended = threading.Event()
        self._reader = threading.Thread(target=self._read, name="camera", daemon=True)

    def frames(self) -> Iterator[Frame]:
        """At most one every `every_s` seconds."""
        self._reader.start()
        while (frame := self._take()) is not None:
            yield frame
            self._stop.wait(max(0.0, self._every_s - (now_ms() - frame.at_ms) / 1000))

    def close(self) -> None:
        """Harmless a second time."""
        self._ended.set()
        if self._reader.is_alive():
            self._reader.join(CLOSE_TIMEOUT_S)

    def _take(self) -> Frame | None:
        with self._changed:
            while self._newest is None and not self._stop.is_set():
                self._changed.wait(STOP_HEARD_S)  # a signal's handler sets `stop`, and may not notify
            frame, self._newest = self._newest, None
            return None if self._stop.is_set() else frame

    def _read(self) -> None:
        lost = 0
        while not self._over():
            frames = self._read_until_lost()
            if self._over():
                return
            lost = 1 if frames else lost + 1
            if lost == 1:
                self._report("The camera is lost; calling it again until it answers.")
            self._ended.wait(pause_s(lost))

    def _over(self) -> bool:
        return self._ended.is_set() or self._stop.is_set()

    def _read_until_lost(self) -> int:
        """How many frames came before the camera was lost, or we were told to end."""
        capture = self._open_stream(self._url)
        frames = 0
        try:
            while not self._over() and capture.grab():
                readable, frame = capture.retrieve()
                if not readable:
                    break
                if frames == 0:
                    self._report("The camera answers.")
                frames += 1
                with self._changed:
                    self._newest = Frame(opencv.rgb(frame), now_ms())
                    self._changed.notify_all()
        finally:
            capture.release()
        return frames


def pause_s(lost: int) -> float:
    """Before the next call, after being lost so many times in a row."""
    return float(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(lost - 1, 10)))
