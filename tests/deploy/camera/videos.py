"""Video files, written by OpenCV."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.encoder.decode import Pixels


def filmed(path: Path, frames: Sequence[Pixels], per_second: float, codec: str = "MJPG") -> Path:
    """RGB frames of one size as a video; the test is skipped where OpenCV is not installed."""
    cv2: Any = pytest.importorskip("cv2")
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), per_second, (width, height))
    assert writer.isOpened()
    for frame in frames:
        writer.write(frame[:, :, ::-1])
    writer.release()
    return path
