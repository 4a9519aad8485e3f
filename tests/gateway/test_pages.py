"""Lists that are read page by page lose nothing where Redis is killed and started again between two pages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from common import keys
from common.members import MemberCard, Profile
from common.truth import connect
from tests.gateway.in_process import Cluster, cluster, unit
from tests.gateway.test_bulk import lines, send
from tests.redis_server import Server

NAMES = {f"f{n}" for n in range(1500)}
Page = tuple[set[str], str | None]
"""what is on it, and the next cursor"""


def on_page(field: str, name: str) -> Callable[[httpx.Response], Page]:
    def read(response: httpx.Response) -> Page:
        body: dict[str, Any] = response.json()
        return {one[name] for one in body[field]}, body["cursor"]

    return read


def exported(response: httpx.Response) -> Page:
    return {json.loads(line)["face_id"] for line in response.content.splitlines()}, response.headers.get(
        "Facegrid-Cursor"
    )


LISTS = {
    "/v1/stores/A/faces": on_page("faces", "face_id"),
    "/v1/stores/A/faces:export": exported,
    "/v1/stores/A/migration": on_page("without_thumbnail", "face_id"),
    "/v1/members": on_page("members", "member_id"),
}


async def page(running: Cluster, path: str, cursor: str | None) -> Page:
    """A gateway may need a moment to see that Redis is back."""
    params: dict[str, str | int] = {"limit": 200} | ({} if cursor is None else {"cursor": cursor})
    async with asyncio.timeout(30):
        while (response := await running.http.get(path, params=params)).status_code == 503:
            await asyncio.sleep(0.05)
    assert response.status_code == 200, response.text
    return LISTS[path](response)


async def fill(running: Cluster, url: str) -> None:
    await running.create("A")
    row = np.round(unit(1)[0], 4).tolist()
    assert (await send(running, lines(*({"face_id": name, "embedding": row} for name in NAMES)))).status_code == 200
    redis = connect(url, timeout_s=5)
    await redis.sadd(keys.left_behind("A"), *NAMES)
    pipe = redis.pipeline(transaction=False)
    for name in NAMES:
        pipe.hset(keys.MEMBERS, name, Profile(MemberCard(name, "Ada"), 1.0, 1.0).to_json())
    await pipe.execute()
    await redis.aclose()


async def test_no_list_loses_anything_where_redis_is_started_again_between_two_pages(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.start()
    try:
        async with cluster(server.url, shards=1) as running:
            await fill(running, server.url)
            found: dict[str, set[str]] = {path: set() for path in LISTS}
            cursors: dict[str, str | None] = dict.fromkeys(LISTS)
            for path in 2 * list(LISTS):
                names, cursors[path] = await page(running, path, cursors[path])
                found[path] |= names
                assert len(found[path]) < len(NAMES)
            server.kill()
            server.start()
            for path in LISTS:
                while cursors[path] is not None:
                    names, cursors[path] = await page(running, path, cursors[path])
                    found[path] |= names
            assert {path: len(NAMES - names) for path, names in found.items()} == dict.fromkeys(LISTS, 0)
    finally:
        server.kill()
