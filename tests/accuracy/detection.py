"""`python -m tests.accuracy.detection`: the faces that each setting of FACEGRID_DETECTION finds, and how fast.

The yardstick is face_recognition.face_locations as it comes (dlib's HOG, the photo doubled once). Photos: groups, as
they are and stretched to 1280 x 960; photos without a person; portraits (`--portraits N` of people and strangers).
The names of some groups end in how many faces they show, which is what `found`, `missed` and `false` are counted by: a
photo with more faces found than it shows has false ones, with fewer misses some. `lost` are the yardstick's faces that
a setting does not find (intersection over union above 0.4), `more` those that it finds besides. Where as many are found
as a photo shows, none is lost: one that the yardstick alone finds there is none (it takes a trouser pocket for one).

Times are of the processor, of one thread, all settings in turns on each photo: detection alone, and whole photos
(decode the JPEG, detect, embed every face; face_recognition: load_image_file and face_encodings).
"""

from __future__ import annotations

import argparse
import importlib
import io
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from common.settings import Detection, EncoderSettings
from gateway.encoder import Box
from gateway.encoder.decode import Pixels, decode
from gateway.encoder.dlib_detector import DlibDetector
from gateway.encoder.dlib_encoder import DlibEncoder
from gateway.encoder.face_encoder import visible_box
from tests.gateway.encoder_photos import FACES, Reference, overlap, saved

LARGE = (1280, 960)
YARDSTICK = "face_recognition"
SAME = 0.4
QUALITY = 92


class Photo(NamedTuple):
    kind: str
    jpeg: bytes
    faces: int | None
    """how many it shows, where that is known"""


@dataclass(slots=True)
class Counts:
    found: int = 0
    missed: int = 0
    false: int = 0
    lost: int = 0
    more: int = 0

    def add(self, boxes: list[Box], expected: list[Box], faces: int | None) -> None:
        lost = sum(not _among(box, boxes) for box in expected)
        self.more += sum(not _among(box, expected) for box in boxes)
        if faces is not None:
            self.found += min(len(boxes), faces)
            self.missed += max(0, faces - len(boxes))
            self.false += max(0, len(boxes) - faces)
            lost = min(lost, max(0, faces - len(boxes)))
        self.lost += lost


@dataclass(slots=True)
class Results:
    counts: dict[tuple[str, str], Counts] = field(default_factory=dict)
    """by kind of photo and setting"""
    seconds: dict[tuple[str, str, str], float] = field(default_factory=dict)
    """by kind of photo, setting and what was timed"""
    photos: dict[str, int] = field(default_factory=dict)


def _among(box: Box, others: list[Box]) -> bool:
    return any(overlap(box, other) > SAME for other in others)


def photos(portraits: int) -> Iterator[Photo]:
    for file in sorted(FACES.glob("groups/*")):
        number = re.search(r"compreface_\d+_(\d+)$", file.stem)
        faces = int(number[1]) if number else None
        yield from _both(file, "groups, counted" if number else "groups, not counted", faces)
    for file in sorted(FACES.glob("noface/*")):
        yield from _both(file, "nobody", 0)
    people = [*sorted(FACES.glob("people/*/*")), *sorted(FACES.glob("strangers/*"))]
    for file in people[:: max(1, len(people) // portraits)][:portraits] if portraits else []:
        yield from _both(file, "portraits", None)


def _both(file: Path, kind: str, faces: int | None) -> Iterator[Photo]:
    image = Image.open(file).convert("RGB")
    yield Photo(f"{kind}, as they are", saved(image, "JPEG", quality=QUALITY), faces)
    large = image.resize(LARGE, Image.Resampling.BICUBIC)
    yield Photo(f"{kind}, 1280 x 960", saved(large, "JPEG", quality=QUALITY), faces)


class Bench:
    def __init__(self) -> None:
        Reference()  # the library's import without its side effect on Pillow
        self._library: Any = importlib.import_module("face_recognition.api")
        self._detectors = {setting.value: DlibDetector(setting) for setting in Detection}
        self._encoders = {setting.value: DlibEncoder(setting) for setting in Detection}
        self.results = Results()

    def measure(self, photo: Photo) -> None:
        pixels = decode(photo.jpeg, EncoderSettings())
        self.results.photos[photo.kind] = self.results.photos.get(photo.kind, 0) + 1
        expected = self._timed(photo, YARDSTICK, "detection", partial(self._theirs, pixels))
        self._timed(photo, YARDSTICK, "whole", partial(self._theirs_whole, photo.jpeg))
        self._count(photo, YARDSTICK, expected, expected)
        for name, detector in self._detectors.items():
            found = self._timed(photo, name, "detection", partial(detector.locate, pixels))
            self._timed(photo, name, "whole", partial(self._ours_whole, name, photo.jpeg))
            self._count(photo, name, [visible_box(face.area, pixels) for face in found], expected)

    def _timed(self, photo: Photo, setting: str, what: str, work: Callable[[], Any]) -> Any:
        begun = time.process_time()
        result = work()
        took = time.process_time() - begun
        key = photo.kind, setting, what
        self.results.seconds[key] = self.results.seconds.get(key, 0.0) + took
        return result

    def _count(self, photo: Photo, setting: str, boxes: list[Box], expected: list[Box]) -> None:
        self.results.counts.setdefault((photo.kind, setting), Counts()).add(boxes, expected, photo.faces)

    def _theirs(self, pixels: Pixels) -> list[Box]:
        found = self._library.face_locations(pixels)
        return [visible_box((left, top, right, bottom), pixels) for top, right, bottom, left in found]

    def _theirs_whole(self, jpeg: bytes) -> None:
        self._library.face_encodings(np.asarray(self._library.load_image_file(io.BytesIO(jpeg))))

    def _ours_whole(self, setting: str, jpeg: bytes) -> None:
        pixels = decode(jpeg, EncoderSettings())
        self._encoders[setting].encode(pixels, max_faces=64, thumbnails=False)


def table(results: Results) -> Table:
    page = Table("photos", "setting", "found", "missed", "false", "lost", "more", box=None)
    for name in ("detected a second", "ratio", "whole a second", "ratio"):
        page.add_column(name, justify="right")
    for (kind, setting), counts in results.counts.items():
        known = not kind.startswith(("groups, not", "portraits"))
        figures = (counts.found, counts.missed, counts.false) if known else ("", "", "")
        page.add_row(
            f"{results.photos[kind]} {kind}" if setting == YARDSTICK else "",
            setting,
            *(str(figure) for figure in (*figures, counts.lost, counts.more)),
            *(cell for what in ("detection", "whole") for cell in _speed(results, kind, setting, what)),
            end_section=setting == Detection.THOROUGH,
        )
    return page


def _speed(results: Results, kind: str, setting: str, what: str) -> tuple[str, str]:
    ours, theirs = results.seconds[kind, setting, what], results.seconds[kind, YARDSTICK, what]
    return f"{results.photos[kind] / ours:.1f}", f"{theirs / ours:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--portraits", type=int, default=20, help="how many portraits, of 410")
    portraits = parser.parse_args().portraits
    if not FACES.is_dir():
        raise SystemExit("The folder of test photos, ../shared/faces, is not beside the checkout.")
    bench = Bench()
    for photo in photos(portraits):
        bench.measure(photo)
    Console(width=150).print(table(bench.results))


if __name__ == "__main__":
    main()
