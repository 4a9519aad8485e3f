"""From photo to the other space and back to a search, with the real encoder and a real model."""

from __future__ import annotations

from pathlib import Path

from tests.gateway import small_models
from tests.gateway.encoder_photos import portrait, saved
from tests.gateway.in_process import cluster

PHOTO = ("portrait.png", saved(portrait(), "PNG"))


async def test_a_face_kept_as_a_thumbnail_is_found_by_its_photo_in_the_other_space(
    redis_url: str, tmp_path: Path
) -> None:
    small_models.arcface(tmp_path)
    async with cluster(redis_url, shards=1, encoder_workers=1, models=str(tmp_path), deadline_s=60.0) as running:
        await running.create("A")
        form = {"face_id": "ada", "keep_thumbnail": "true"}
        enrolled = await running.http.post("/v1/stores/A/faces", files={"image": PHOTO}, data=form)
        assert enrolled.status_code == 201, enrolled.text
        body = {"to": small_models.ARCFACE}
        answer = (await running.http.post("/v1/stores/A/migration", json=body)).json()
        assert (answer["state"], answer["without_thumbnail_count"]) == ("done", 0)

        (result,) = (await running.http.post("/v1/stores/A/search", files={"image": PHOTO})).json()["results"]
        (candidate,) = result["candidates"]
        assert (candidate["face_id"], candidate["photos"]) == ("ada", 1)
        assert candidate["score"] > 0.5
        again = await running.http.post("/v1/stores/A/faces", files={"image": PHOTO}, data={"face_id": "ada"})
        assert (again.status_code, again.json()["templates"]) == (200, 2)
