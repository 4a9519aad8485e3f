"""OpenCV, which only videos and cameras need: loaded late, so that a folder of photos does without it."""

from __future__ import annotations

import importlib
from typing import Any, Protocol

import numpy as np

from deploy.camera.source import SourceError
from gateway.encoder.decode import Pixels

INSTALL = "Videos and cameras need OpenCV: pip install opencv-python-headless"
OPEN_TIMEOUT_MS, READ_TIMEOUT_MS = 10_000, 10_000


class OpenCvMissing(SourceError):
    """The optional dependency is not installed."""


class Capture(Protocol):
    """What is used of cv2.VideoCapture."""

    def isOpened(self) -> bool: ...  # noqa: N802  # OpenCV's name
    def grab(self) -> bool: ...
    def retrieve(self) -> tuple[bool, Any]: ...
    def get(self, what: int) -> float: ...
    def release(self) -> None: ...


def load() -> Any:
    """The cv2 module. Raises OpenCvMissing."""
    try:
        return importlib.import_module("cv2")
    except ImportError as error:
        raise OpenCvMissing(f"{INSTALL} ({error}).") from error


def open_file(path: str) -> Capture:
    capture: Capture = load().VideoCapture(path)
    return capture


def open_stream(url: str) -> Capture:
    """A network camera; neither opening nor reading waits longer than 10 s."""
    cv2 = load()
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, OPEN_TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, READ_TIMEOUT_MS]
    capture: Capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG, limits)
    return capture


def rgb(frame: Any) -> Pixels:
    """OpenCV's BGR as RGB, in memory of its own."""
    return np.ascontiguousarray(frame[:, :, ::-1], dtype=np.uint8)
