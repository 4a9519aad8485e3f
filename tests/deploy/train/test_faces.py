"""Faces cut out of real photos, by the processes that a run uses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from common.settings import EncoderSettings
from deploy.demo.shoppers import shoppers
from deploy.train.faces import Job, State, cut, cut_faces, opened
from deploy.train.photos import Collection, from_folder
from deploy.train.recipe import Alignment, Recipe
from gateway.encoder.decode import Pixels

SETTINGS = EncoderSettings(encoder_workers=1)
RECIPE = Recipe("made-v1", size=48)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    """Two shoppers with two photos each, one picture without a face and one that is none."""
    root = tmp_path_factory.mktemp("people")
    for shopper in shoppers(2, photos_each=2):
        (root / shopper.name).mkdir()
        for n, jpeg in enumerate(shopper.photos, start=1):
            (root / shopper.name / f"{n}.jpg").write_bytes(jpeg)
    (root / "shopper-01" / "3.jpg").write_bytes(b"no photo")
    from PIL import Image  # noqa: PLC0415

    Image.new("RGB", (200, 200), "grey").save(root / "shopper-02" / "3.png")
    return from_folder(root)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run") / "faces"


@pytest.fixture(scope="module")
def pixels(photos: Collection, folder: Path) -> Pixels:
    """Cut once; `folder` holds them."""
    done: list[None] = []
    found = cut_faces(photos, folder, RECIPE, SETTINGS, lambda: done.append(None))
    assert (len(done), found.without_face, found.unreadable) == (6, 1, 1)
    assert found.faces.people.tolist() == [0, 0, 1, 1]
    return found.faces.pixels(slice(None))


def test_faces_fill_their_pictures(pixels: Pixels) -> None:
    assert pixels.shape == (4, 48, 48, 3)
    assert pixels.dtype == np.uint8
    middle = pixels[:, 12:36, 12:36].astype(float)
    assert middle.std(axis=(1, 2, 3)).min() > 15


def test_only_their_owner_can_read_them(pixels: Pixels, folder: Path) -> None:
    assert len(pixels) == 4
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_a_run_that_was_killed_cuts_only_what_is_missing(pixels: Pixels, photos: Collection, folder: Path) -> None:
    states = np.load(folder / "states.npy", mmap_mode="r+")
    stored = np.load(folder / "pixels.npy", mmap_mode="r+")
    stored[0], stored[3], states[3] = 7, 8, State.WAITING
    states.flush()
    again = cut_faces(photos, folder, RECIPE, SETTINGS, lambda: None).faces.pixels(slice(None))
    assert (again[0] == 7).all()
    assert (again[2] == pixels[2]).all()


def test_a_box_is_cut_out_otherwise(photos: Collection, pixels: Pixels) -> None:
    box = Recipe("made-v1", size=48, alignment=Alignment.BOX)
    found = cut(Job(photos.photos[0].path, box, SETTINGS))
    assert not isinstance(found, State)
    assert (found != pixels[0]).mean() > 0.5


def test_other_photos_or_another_alignment_have_everything_cut_anew(tmp_path: Path) -> None:
    first = opened(tmp_path / "faces", "one", 3, 16)
    first[0][:], first[1][:] = 9, State.CUT
    assert opened(tmp_path / "faces", "one", 3, 16)[1].tolist() == [State.CUT] * 3
    pixels, states = opened(tmp_path / "faces", "other", 2, 8)
    assert (pixels.shape, states.tolist()) == ((2, 8, 8, 3), [State.WAITING] * 2)
