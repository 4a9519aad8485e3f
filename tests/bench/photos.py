"""`python -m tests.bench.photos`: photos a second through the gateway beside bare face_recognition, in one run.

The yardstick is one process that does what a script would: load_image_file and face_encodings, default settings, one
photo after the other, with the machine to itself; times the cores. The gateway is a real local cluster, its encoder
processes on the same cores together with everything else (gateway, shards, Redis, and the load); a photo is a search
at a store, from the bytes of the request to the verdict. Yardstick and gateway take turns; each ratio is the middle one
of the rounds.
"""

from __future__ import annotations

import asyncio
import importlib
import io
import os
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import numpy as np
from PIL import Image, ImageOps
from rich.console import Console
from rich.table import Table

from deploy.local.cluster import LocalCluster
from deploy.local.embedded_redis import free_port
from gateway.encoder.dlib_detector import DlibDetector
from tests.bench.load import load, request
from tests.gateway.encoder_photos import FACES, Reference, saved

STORE = "S1"
LARGE = (1280, 960)
QUALITY = 90
PORTRAITS = 24
BARE_PHOTOS = 12
"""of each kind, a round: the yardstick is slow"""
ROUNDS = 3
LEAST = 0.9
"""of cores x one bare process, that the gateway must reach"""


def kinds() -> dict[str, list[bytes]]:
    people = [Image.open(file).convert("RGB") for file in sorted(FACES.glob("people/*/*"))[::9][:PORTRAITS]]
    groups = [Image.open(file).convert("RGB") for file in sorted(FACES.glob("groups/*"))]
    return {
        "portraits, 250 x 250": _with_faces(people),
        "portraits, 1280 x 960": _with_faces(ImageOps.fit(image, LARGE) for image in people),
        "groups, 1280 x 960": _with_faces(image.resize(LARGE, Image.Resampling.BICUBIC) for image in groups),
    }


def _with_faces(images: Iterable[Image.Image]) -> list[bytes]:
    """As JPEG, without those in which no face is found: the answer to them is an error, which counts as a failure."""
    detector = DlibDetector()
    return [saved(image, "JPEG", quality=QUALITY) for image in images if detector.locate(np.asarray(image))]


class Bare:
    def __init__(self) -> None:
        Reference()  # the library's import without its side effect on Pillow
        self._library: Any = importlib.import_module("face_recognition.api")

    def per_second(self, photos: Sequence[bytes]) -> float:
        started = time.perf_counter()
        for photo in photos:
            self._library.face_encodings(self._library.load_image_file(io.BytesIO(photo)))
        return len(photos) / (time.perf_counter() - started)


def search(photo: bytes) -> bytes:
    head = b'--b\r\nContent-Disposition: form-data; name="image"; filename="p.jpg"\r\n\r\n'
    body = head + photo + b"\r\n--b--\r\n"
    return request(f"/v1/stores/{STORE}/search", body, "multipart/form-data; boundary=b")


async def round_of(port: int, bare: Bare, photos: Sequence[bytes], cores: int) -> tuple[float, float]:
    """Photos a second of one bare process, and through the gateway."""
    alone = bare.per_second(photos[:BARE_PHOTOS])
    measured = await load(port, [search(photo) for photo in [*photos, *photos]], 2 * cores)
    assert measured.failures == 0, measured.answer[:300]
    return alone, measured.per_second


async def measure(cluster: LocalCluster, cores: int) -> Table:
    async with httpx.AsyncClient(base_url=cluster.url, trust_env=False) as http:
        (await http.put(f"/v1/stores/{STORE}", json={})).raise_for_status()
    page = Table("photos", "one bare process", f"x {cores} cores", "gateway", "ratio", box=None)
    bare = Bare()
    for kind, photos in kinds().items():
        rounds = [await round_of(cluster.port, bare, photos, cores) for _ in range(ROUNDS)]
        alone, through = (median(each) for each in zip(*rounds, strict=True))
        ratio = median(through / (cores * alone) for alone, through in rounds)
        page.add_row(kind, f"{alone:.2f}", f"{cores * alone:.2f}", f"{through:.2f}", f"{ratio:.2f}")
        assert ratio >= LEAST, f"{kind}: {ratio:.2f} of {cores} bare processes, at least {LEAST} are asked for"
    return page


def main() -> None:
    if not FACES.is_dir():
        raise SystemExit("The folder of test photos, ../shared/faces, is not beside the checkout.")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as folder, LocalCluster(Path(folder) / "data", port=free_port()) as cluster:
        page = asyncio.run(measure(cluster, cores))
    Console(width=120).print("Photos a second, and the gateway's beside those of the bare processes:", page)


if __name__ == "__main__":
    main()
