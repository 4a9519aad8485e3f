"""Searches by photo beside the bare encoder, small: `tests.bench.photos` is the thorough one."""

from __future__ import annotations

import os
import time
from pathlib import Path

import httpx

from common.settings import EncoderSettings
from deploy.demo.shoppers import shoppers
from deploy.local.cluster import LocalCluster
from deploy.local.embedded_redis import free_port
from gateway.encoder.decode import decode
from gateway.encoder.dlib_encoder import DlibEncoder
from tests.bench.load import load, request
from tests.bench.report import Line, Report, middle

PHOTOS = 60
CLIENTS = 4
STORE = "store-0"


async def photos(folder: Path, cores: int, report: Report) -> None:
    """A cluster with encoders, and one encoder in this process with the machine to itself."""
    section = "photos"
    pictures = [photo for shopper in shoppers(4, 2) for photo in shopper.photos]
    alone = _alone(pictures)
    report.add(Line(section, f"bare encoder in process, × {cores} cores", cores * alone, "photos/s"))
    os.environ.pop("FACEGRID_ENCODER_WORKERS", None)
    with LocalCluster(folder / "photos", port=free_port()) as cluster:
        async with httpx.AsyncClient(base_url=cluster.url, trust_env=False) as http:
            (await http.put(f"/v1/stores/{STORE}", json={})).raise_for_status()
        prepared = [_multipart(pictures[at % len(pictures)]) for at in range(PHOTOS)]
        await load(cluster.port, prepared[:8], CLIENTS)
        told = middle([await load(cluster.port, prepared, CLIENTS)])
    line = Line(section, f"search by photo, {CLIENTS} clients", told.per_second, "photos/s", told.p50_ms, told.p99_ms)
    report.add(line.beside(told.per_second / (cores * alone), "bare encoders"))


def _alone(pictures: list[bytes]) -> float:
    settings, encoder = EncoderSettings(), DlibEncoder()
    encoder.encode(decode(pictures[0], settings), max_faces=1, thumbnails=False)
    started = time.perf_counter()
    for photo in pictures:
        encoder.encode(decode(photo, settings), max_faces=1, thumbnails=False)
    return len(pictures) / (time.perf_counter() - started)


def _multipart(photo: bytes) -> bytes:
    head = b'--b\r\nContent-Disposition: form-data; name="image"; filename="p.jpg"\r\n\r\n'
    path = f"/v1/stores/{STORE}/search"
    return request(path, head + photo + b"\r\n--b--\r\n", "multipart/form-data; boundary=b")
