"""Frames of a video file, every so many seconds of its own time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from deploy.camera import opencv
from deploy.camera.source import Frame, SourceError

EVERY_S = 0.2


class Video:
    """A frame's time is start + its position. `start_ms` None: the file's last change is taken as the video's end."""

    ends = True

    def __init__(self, path: Path, start_ms: int | None = None, every_s: float = EVERY_S) -> None:
        self._path = path
        self._start_ms = start_ms
        self._every_ms = 1000 * every_s
        self._cv2 = opencv.load()
        self._capture = opencv.open_file(str(path))

    def frames(self) -> Iterator[Frame]:
        """Frames between the sampled ones are skipped undecoded."""
        if not self._capture.isOpened():
            raise SourceError(f"{self._path} is no video that OpenCV can read.")
        start_ms = self._ends_ms() - self._duration_ms() if self._start_ms is None else self._start_ms
        due_ms, nth = 0.0, 0
        while self._capture.grab():
            position_ms = self._position_ms(nth)
            nth += 1
            if position_ms < due_ms:
                continue
            due_ms = (position_ms // self._every_ms + 1) * self._every_ms
            readable, frame = self._capture.retrieve()
            if readable:
                yield Frame(opencv.rgb(frame), start_ms + round(position_ms))
        if nth == 0:
            raise SourceError(f"{self._path} has no frame that OpenCV can read.")

    def _position_ms(self, nth: int) -> float:
        """By the container's clock, so that a variable frame rate is right; where it has none, by the frame rate."""
        position = self._capture.get(self._cv2.CAP_PROP_POS_MSEC)
        return position if position > 0 or nth == 0 else nth * self._frame_ms()

    def _frame_ms(self) -> float:
        return 1000 / (self._capture.get(self._cv2.CAP_PROP_FPS) or 25.0)

    def _duration_ms(self) -> int:
        return round(max(0.0, self._capture.get(self._cv2.CAP_PROP_FRAME_COUNT)) * self._frame_ms())

    def _ends_ms(self) -> int:
        return self._path.stat().st_mtime_ns // 1_000_000

    def close(self) -> None:
        self._capture.release()
