"""Real pixels through the public interface: enrol, search, verify and recognize with photos; errors say which photo."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from PIL import Image

from common.truth import connect
from tests.conftest import FACES
from tests.gateway.encoder_photos import portrait, saved
from tests.gateway.in_process import Cluster, cluster, unit

needs_faces = pytest.mark.skipif(not FACES.is_dir(), reason=f"no folder of real photos at {FACES}")
PORTRAIT = saved(portrait(), "JPEG", quality=95)
BLANK = saved(Image.new("RGB", (200, 200), "grey"), "PNG")


def pair() -> bytes:
    """Two copies of the portrait side by side: two faces."""
    both = Image.new("RGB", (600, 300))
    both.paste(portrait(), (0, 0))
    both.paste(portrait(), (300, 0))
    return saved(both, "JPEG")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(redis_server_url: str) -> AsyncIterator[Cluster]:
    redis = connect(redis_server_url, timeout_s=5)
    await redis.flushall()
    await redis.aclose()
    async with cluster(redis_server_url, shards=2, encoder_workers=2, deadline_s=60) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def chain(running: Cluster) -> Cluster:
    """Stores A and B, empty, on the module's cluster."""
    for store in (await running.http.get("/v1/stores")).json()["stores"]:
        await running.http.delete(f"/v1/stores/{store['store']}?force=true")
    await running.create("A", shard="s1")
    await running.create("B", shard="s2")
    return running


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def send(chain: Cluster, path: str, *photos: bytes, **fields: str) -> httpx.Response:
    files: list[tuple[str, Any]] = [("image", (f"photo-{n}.jpg", photo)) for n, photo in enumerate(photos)]
    return await chain.http.post(path, files=[*files, *((name, (None, text)) for name, text in fields.items())])


async def test_a_photo_enrolled_is_found_at_home_and_from_another_store_with_its_box(chain: Cluster) -> None:
    enrolled = await send(chain, "/v1/stores/A/faces", PORTRAIT, PORTRAIT, face_id="eileen", labels='{"door": "north"}')
    assert enrolled.status_code == 201, enrolled.text
    assert (enrolled.json()["templates"], enrolled.json()["labels"]) == (2, {"door": "north"})
    for store, mode in (("A", "home"), ("B", "fan_out")):
        (result,) = (await send(chain, f"/v1/stores/{store}/search", PORTRAIT)).json()["results"]
        assert (result["verdict"], result["route"]["mode"]) == ("match", mode)
        assert result["candidates"][0]["face_id"] == "eileen"
        assert result["candidates"][0]["score"] > 0.999
        box = result["box"]
        assert 0 < box["left"] < box["left"] + box["width"] < 300
        assert box["width"] > 60
        quality = result["quality"]
        assert quality["face_size"] == min(box["width"], box["height"])
        assert quality["sharpness"] > 10
        assert 0 < quality["brightness"] < 255
        assert quality["confidence"] > 0.5


async def test_every_face_in_a_photo_gets_its_own_answer(chain: Cluster) -> None:
    await send(chain, "/v1/stores/A/faces", PORTRAIT, face_id="eileen")
    results = (await send(chain, "/v1/stores/A/search", pair())).json()["results"]
    assert [result["verdict"] for result in results] == ["match", "match"]
    assert abs(results[0]["box"]["left"] - results[1]["box"]["left"]) > 250


async def test_recognize_answers_like_the_tutorial_service(chain: Cluster) -> None:
    await chain.enrol("A", unit(1), face_id="somebody-else")
    await chain.http.put("/v1/stores/A", json={"threshold": -1.0})  # the first store's own: nobody asks from there
    assert (await send(chain, "/recognize", PORTRAIT)).json() == {"result": None}
    await chain.http.put("/v1/stores/A", json={"threshold": None})
    await send(chain, "/v1/stores/A/faces", PORTRAIT, face_id="095")
    assert (await send(chain, "/recognize", PORTRAIT)).json() == {"result": "095"}
    assert (await send(chain, "/recognize", PORTRAIT, store="B")).json() == {"result": "095"}
    await chain.create("F", group="foreign")
    refused = await send(chain, "/recognize", PORTRAIT)
    assert (refused.status_code, refused.json()["code"]) == (422, "STORE_REQUIRED")


async def test_recognize_never_says_null_without_full_coverage(chain: Cluster) -> None:
    await send(chain, "/v1/stores/A/faces", PORTRAIT, face_id="095")
    app = chain.shards.apps.pop("s1-a")
    try:
        response = await send(chain, "/recognize", PORTRAIT, store="B")
    finally:
        chain.shards.apps["s1-a"] = app
    assert (response.status_code, response.json()["code"]) == (503, "INCONCLUSIVE")
    assert response.json()["coverage"]["stores"]["missing"] == ["A"]


@pytest.mark.parametrize("path", ["/v1/stores/A/faces", "/v1/stores/A/search", "/recognize"])
@pytest.mark.parametrize(
    ("photo", "code"),
    [
        (b"", "NOT_AN_IMAGE"),
        (b"GIF89a no", "NOT_AN_IMAGE"),
        (PORTRAIT[: len(PORTRAIT) // 2], "TRUNCATED_IMAGE"),
        (saved(Image.new("1", (10_000, 10_000)), "PNG"), "IMAGE_TOO_LARGE"),
        (BLANK, "NO_FACE"),
    ],
    ids=["empty", "not an image", "truncated", "100 megapixels", "no face"],
)
async def test_a_bad_photo_is_named_and_changes_nothing(chain: Cluster, path: str, photo: bytes, code: str) -> None:
    response = await send(chain, path, photo)
    body = response.json()
    assert (response.status_code, body["code"], body["field"]) == (422, code, "image[0]"), body
    assert (await chain.http.get("/v1/stores/A")).json()["faces"] == 0


@pytest.mark.parametrize(("second", "code"), [(pair(), "MULTIPLE_FACES"), (BLANK, "NO_FACE")])
async def test_enrolment_says_which_photo_and_enrols_none(chain: Cluster, second: bytes, code: str) -> None:
    body = (await send(chain, "/v1/stores/A/faces", PORTRAIT, second, face_id="x")).json()
    assert (body["code"], body["field"], body["photo"]) == (code, "image[1]", "photo-1.jpg")
    assert (await chain.http.get("/v1/stores/A/faces/x")).status_code == 404


async def test_a_thumbnail_is_kept_only_where_it_was_asked_for_and_goes_with_the_face(chain: Cluster) -> None:
    await send(chain, "/v1/stores/A/faces", PORTRAIT, face_id="plain")
    await send(chain, "/v1/stores/A/faces", PORTRAIT, face_id="shown", keep_thumbnail="true")
    assert (await chain.http.get("/v1/stores/A/faces/plain/thumbnail")).status_code == 404
    shown = await chain.http.get("/v1/stores/A/faces/shown/thumbnail")
    assert (shown.headers["content-type"], shown.content[:2]) == ("image/jpeg", b"\xff\xd8")
    await chain.http.delete("/v1/stores/A/faces/shown")
    assert (await chain.http.get("/v1/stores/A/faces/shown/thumbnail")).status_code == 404


async def test_verify_compares_two_photos_or_a_photo_and_a_stored_face(chain: Cluster) -> None:
    await send(chain, "/v1/stores/A/faces", PORTRAIT, face_id="eileen")
    turned = saved(portrait().rotate(8), "JPEG")
    two = (await send(chain, "/v1/verify", PORTRAIT, turned)).json()
    stored = (await send(chain, "/v1/verify", turned, store="A", face_id="eileen")).json()
    assert two["match"] is stored["match"] is True
    assert stored["score"] == pytest.approx(two["score"], abs=1e-5)
    assert two["distance"] == pytest.approx((2 - 2 * two["score"]) ** 0.5, abs=1e-6)
    assert (two["fmr"], two["space"], two["photos"]) == (0.001, "dlib-resnet-v1", 1)


@needs_faces
async def test_real_people_are_verified_and_told_apart(chain: Cluster) -> None:
    people = sorted((FACES / "people").iterdir())
    first, second = (sorted(person.iterdir()) for person in people[:2])
    same = (await send(chain, "/v1/verify", first[0].read_bytes(), first[1].read_bytes())).json()
    other = (await send(chain, "/v1/verify", first[0].read_bytes(), second[0].read_bytes())).json()
    assert same["score"] > other["score"]
    assert not other["match"]
