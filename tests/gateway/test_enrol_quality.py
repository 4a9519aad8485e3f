"""What is enrolled from photos is good enough to recognise somebody by, or the answer says what is wrong with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from PIL import Image

from common.truth import connect
from gateway.quality import Reason
from tests.accuracy.quality import lit, reduced
from tests.gateway.encoder_photos import portrait, saved
from tests.gateway.in_process import Cluster, cluster, unit

FACE = 100
"""pixels, about the width of the portrait's face"""
GOOD = saved(portrait(), "JPEG", quality=95)
DARK = saved(lit(0.12)(portrait(), FACE), "PNG")
SMALL = saved(reduced(45)(portrait(), FACE), "PNG")
BLANK = saved(Image.new("RGB", (200, 200), "grey"), "PNG")
FACES = "/v1/stores/A/faces"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chain(redis_server_url: str) -> AsyncIterator[Cluster]:
    redis = connect(redis_server_url, timeout_s=5)
    await redis.flushall()
    await redis.aclose()
    async with cluster(redis_server_url, shards=1, encoder_workers=1, deadline_s=60) as started:
        await started.create("A")
        yield started


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def enrol(chain: Cluster, *photos: bytes, **fields: str) -> httpx.Response:
    files: list[tuple[str, Any]] = [("image", (f"photo-{n}.png", photo)) for n, photo in enumerate(photos)]
    return await chain.http.post(FACES, files=[*files, *((name, (None, text)) for name, text in fields.items())])


async def is_there(chain: Cluster, face_id: str) -> bool:
    return (await chain.http.get(f"{FACES}/{face_id}")).status_code == 200


async def test_a_poor_photo_is_refused_with_its_numbers_and_the_limits_and_what_to_do(chain: Cluster) -> None:
    response = await enrol(chain, DARK, face_id="dark")
    body = response.json()
    assert (response.status_code, body["code"], body["field"]) == (422, "POOR_QUALITY", "image[0]")
    assert body["photo"] == "photo-0.png"
    assert body["reasons"] == ["DARK"]
    assert body["limit"] == {"min_brightness": 30}
    assert body["quality"]["brightness"] < 30
    assert body["quality"]["sharpness"] > 3
    assert "more light" in body["advice"]
    assert not await is_there(chain, "dark")


async def test_a_good_photo_is_enrolled_and_its_numbers_are_told(chain: Cluster) -> None:
    body = (await enrol(chain, GOOD, face_id="good")).json()
    [photo] = body["photos"]
    assert photo["reasons"] == []
    assert photo["quality"]["face_size"] == min(photo["box"]["width"], photo["box"]["height"]) > 60
    assert photo["quality"]["eye_distance"] > 20


async def test_one_poor_photo_refuses_all_and_every_bad_one_is_named(chain: Cluster) -> None:
    body = (await enrol(chain, GOOD, SMALL, BLANK, DARK, b"no photo", face_id="several")).json()
    assert (body["code"], body["field"]) == ("POOR_QUALITY", "image[1]")
    named = {photo["field"]: (photo["code"], photo.get("reasons")) for photo in body["refused"]}
    assert named == {
        "image[1]": ("POOR_QUALITY", ["SMALL_FACE"]),
        "image[2]": ("NO_FACE", None),
        "image[3]": ("POOR_QUALITY", ["DARK"]),
        "image[4]": ("NOT_AN_IMAGE", None),
    }
    assert not await is_there(chain, "several")


async def test_who_has_only_a_poor_photo_can_be_enrolled_all_the_same(chain: Cluster) -> None:
    response = await enrol(chain, DARK, face_id="only", accept_poor="true")
    assert response.status_code == 201
    [photo] = response.json()["photos"]
    assert photo["reasons"] == [Reason.DARK]
    assert await is_there(chain, "only")


async def test_a_photo_without_a_face_is_never_accepted(chain: Cluster) -> None:
    body = (await enrol(chain, GOOD, BLANK, face_id="blank", accept_poor="true")).json()
    assert (body["code"], body["field"]) == ("NO_FACE", "image[1]")
    assert not await is_there(chain, "blank")


async def test_embeddings_are_not_held_to_it_and_have_no_photos(chain: Cluster) -> None:
    answer = await chain.enrol("A", unit(1))
    assert answer["photos"] == []


async def test_whether_to_accept_poor_photos_is_yes_or_no(chain: Cluster) -> None:
    body = (await enrol(chain, GOOD, accept_poor="perhaps")).json()
    assert (body["code"], body["field"]) == ("INVALID_REQUEST", "accept_poor")
