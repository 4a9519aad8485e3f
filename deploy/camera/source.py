"""Where frames come from. Here: what every source gives, and a folder of photos; `video` and `live` need OpenCV."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from common.errors import InvalidImage
from common.settings import EncoderSettings
from deploy.client.http import ClientError
from deploy.client.moment import as_ms
from deploy.client.photos import EXTENSIONS
from gateway.encoder.decode import PARSE_ERRORS, Pixels, decode

EXIF_BLOCK = 0x8769
TAKEN, TAKEN_SUBSECOND, TAKEN_OFFSET = 0x9003, 0x9291, 0x9011
"""EXIF DateTimeOriginal, SubSecTimeOriginal, OffsetTimeOriginal"""
FOLDER_EVERY_S = 60.0
"""far enough apart that no two photos are taken for one track"""


class SourceError(ClientError):
    """Nothing can be read from there; the text says why."""


@dataclass(frozen=True, slots=True)
class Frame:
    pixels: Pixels
    """RGB, (height, width, 3)"""
    at_ms: int


class Source(Protocol):
    ends: bool
    """False for a camera, which goes on until it is told to stop"""

    def frames(self) -> Iterator[Frame]:
        """In the order in which they were taken. Raises SourceError where there is nothing to read."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Schedule:
    """Times by order: photo n was taken at start + n * every."""

    start_ms: int
    every_s: float = FOLDER_EVERY_S

    def at_ms(self, nth: int) -> int:
        return self.start_ms + round(1000 * nth * self.every_s)


class Folder:
    """The photos of a folder and its folders, in the order of their names.

    A photo's time: by the schedule, if there is one; else EXIF DateTimeOriginal (with its offset; without one it is
    this machine's local time); else the file's last change. `skipped` hears of each photo that cannot be read.
    """

    ends = True

    def __init__(self, root: Path, schedule: Schedule | None, skipped: Callable[[str, str], None]) -> None:
        self._root = root
        self._schedule = schedule
        self._skipped = skipped
        self._settings = EncoderSettings()

    def frames(self) -> Iterator[Frame]:
        photos = photos_in(self._root)
        if not photos:
            raise SourceError(f"There is no photo ({', '.join(sorted(EXTENSIONS))}) in {self._root}.")
        for nth, photo in enumerate(photos):
            frame = self._frame(photo, nth)
            if frame is not None:
                yield frame

    def _frame(self, photo: Path, nth: int) -> Frame | None:
        try:
            pixels = decode(photo.read_bytes(), self._settings)
            at_ms = taken_ms(photo) if self._schedule is None else self._schedule.at_ms(nth)
        except OSError as error:
            self._skipped(str(photo), f"cannot be read: {error.strerror}")
        except InvalidImage as error:
            self._skipped(str(photo), f"{error.detail} [{error.code}]")
        else:
            return Frame(pixels, at_ms)
        return None

    def close(self) -> None:
        """Nothing is held open."""


def photos_in(root: Path) -> list[Path]:
    """Every photo under the folder by its path; names that begin with a dot are left out."""
    found: list[Path] = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(folder, name) for name in sorted(names) if not name.startswith(".")]
    return sorted(photo for photo in found if photo.suffix.lower() in EXTENSIONS)


def taken_ms(photo: Path) -> int:
    """When a photo was taken. Raises OSError for a file that cannot be read."""
    try:
        with Image.open(photo) as opened:
            exif = opened.getexif().get_ifd(EXIF_BLOCK)
        return exif_ms(exif)
    except PARSE_ERRORS:  # no EXIF block, an odd one, or a clock that was never set (0000:00:00)
        return photo.stat().st_mtime_ns // 1_000_000


def exif_ms(exif: dict[int, Any]) -> int:
    """Of an EXIF block. Raises KeyError or ValueError where it tells no time."""
    taken = datetime.strptime(str(exif[TAKEN]).strip("\0 "), "%Y:%m:%d %H:%M:%S")  # offset: below
    offset = str(exif.get(TAKEN_OFFSET, "")).strip("\0 ")
    digits = str(exif.get(TAKEN_SUBSECOND, "")).strip("\0 ")
    taken += timedelta(seconds=float(f"0.{digits}") if digits.isdigit() else 0.0)
    return as_ms(datetime.fromisoformat(f"{taken.isoformat()}{offset}"))
