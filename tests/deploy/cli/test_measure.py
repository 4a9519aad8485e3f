"""`calibrate` and `pairs` as they are typed, with the real encoder."""

from __future__ import annotations

import errno
import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from common.errors import UnknownSpace
from common.settings import EncoderSettings
from common.types import DLIB_SPACE
from deploy.cli.calibrate import calibrate
from deploy.cli.options import FriendlyGroup
from deploy.cli.pairs import pairs
from deploy.client.photos import Photo
from deploy.measure.labelled import Floats
from deploy.measure.photos import encode_photos
from gateway.fmr import FmrCurve
from gateway.spaces import Spaces
from tests.deploy.measure.invented import raw
from tests.gateway.encoder_photos import portrait, saved

app = typer.Typer(cls=FriendlyGroup, pretty_exceptions_enable=False)
app.command()(calibrate)
app.command()(pairs)


def facegrid(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "80"})
    assert done.exit_code == code, done.output
    return done.output


def invented(people: int = 40, photos: int = 4) -> tuple[Floats, Floats]:
    """As many numbers as dlib's; those that are too many are 0."""
    embeddings, person = raw([photos] * people)
    return np.pad(embeddings, ((0, 0), (0, 128 - embeddings.shape[1]))), person


def test_a_calibration_writes_a_curve_that_gateways_read(tmp_path: Path) -> None:
    embeddings, person = invented()
    np.savez(tmp_path / "faces.npz", embeddings=embeddings, person=person)
    out = tmp_path / "models"
    said = facegrid("calibrate", str(tmp_path / "faces.npz"), "--out", str(out))
    assert "160 photos of 40 people" in said
    assert "12,480 pairs of different people, 240 of one person" in said
    assert "enough for galleries of" in said
    assert "comes with reaches further" in said
    assert {path.name for path in out.iterdir()} == {
        f"{DLIB_SPACE}{ending}" for ending in (".curve.json", ".det.png", ".scores.png")
    }
    written = FmrCurve.from_json((out / f"{DLIB_SPACE}.curve.json").read_text())
    assert Spaces.load(str(out)).of(DLIB_SPACE).curve.source == written.source
    assert "40 people in faces.npz" in written.source


def test_too_few_people_are_refused_with_what_is_needed(tmp_path: Path) -> None:
    embeddings, person = invented(people=4, photos=2)
    np.savez(tmp_path / "faces.npz", embeddings=embeddings, person=person)
    out = tmp_path / "out"
    assert "24 pairs" in facegrid("calibrate", str(tmp_path / "faces.npz"), "--out", str(out), code=1)
    assert not out.exists()
    (tmp_path / "empty").mkdir()
    assert "no photos" in facegrid("calibrate", str(tmp_path / "empty"), code=1)


def test_the_largest_face_of_each_photo_is_encoded_and_the_rest_is_named(tmp_path: Path) -> None:
    face = saved(portrait(), "JPEG")
    blank = saved(Image.new("RGB", (200, 200)), "PNG")
    photos = [
        Photo("blank", blank),
        Photo("ada", face),
        Photo("broken", b"\xff\xd8\xff and no more"),
        Photo("gone", tmp_path / "gone.jpg"),
        Photo("ada again", face),
    ]
    done: list[int] = []
    settings = EncoderSettings(encoder_workers=1)
    encoded = encode_photos(photos, DLIB_SPACE, settings, lambda: done.append(1))
    assert [photo.name for photo in encoded.photos] == ["ada", "ada again"]
    assert encoded.rows.shape == (2, 128)
    assert float(encoded.rows[0] @ encoded.rows[1]) == pytest.approx(1, abs=1e-5)
    assert [photo.name for photo in encoded.skipped] == ["blank", "broken", "gone"]
    assert "no face" in encoded.skipped[0].reason
    assert len(done) == len(photos)
    with pytest.raises(UnknownSpace):  # rather than a list of photos that could not be encoded
        encode_photos(photos[:1], "nowhere-v1", settings, lambda: None)


def test_pairs_of_real_people_are_told_apart(faces: Path, tmp_path: Path) -> None:
    """Ten people, two photos each: each with himself, and with the next one."""
    people = sorted(path for path in (faces / "people").iterdir())[:10]
    numbers = {who.name: sorted(int(photo.stem.rsplit("_", 1)[1]) for photo in who.iterdir())[:2] for who in people}
    names = list(numbers)
    same = [f"{name}\t{numbers[name][0]}\t{numbers[name][1]}" for name in names]
    others = [f"{one}\t{numbers[one][0]}\t{two}\t{numbers[two][0]}" for one, two in pairwise(names)]
    file = tmp_path / "pairs.txt"
    file.write_text("\n".join([*same, *others]) + "\n")
    said = facegrid("pairs", str(file), str(faces / "people"))
    assert "10 pairs of one person and 9 of two" in said
    accuracy = float(said.split("accuracy, 10 folds")[1].split("%")[0])
    assert accuracy >= 90
    file.write_text("\n".join([*same, *others, f"{names[0]} 1 9999"]) + "\n")
    assert f"pairs.txt:20: there is no photo {names[0]}/" in facegrid("pairs", str(file), str(faces / "people"), code=1)


def test_a_folder_that_cannot_be_written_is_said_before_anything_is_measured(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    out = str(tmp_path / "file" / "below")
    assert "cannot be" in facegrid("calibrate", str(tmp_path / "empty"), "--out", out, code=2)


def test_a_file_that_is_no_npz_is_said(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no archive")
    said = facegrid("calibrate", str(tmp_path / "text.jpg"), "--out", str(tmp_path / "out"), code=1)
    assert "text.jpg is no npz file" in said
    assert "pickle" not in said


def test_embeddings_of_another_length_are_not_taken_for_dlibs(tmp_path: Path) -> None:
    embeddings, person = raw([4] * 40)
    np.savez(tmp_path / "faces.npz", embeddings=embeddings, person=person)
    said = facegrid("calibrate", str(tmp_path / "faces.npz"), "--out", str(tmp_path / "out"), code=1)
    assert "has 128 numbers, these embeddings 48" in said


def test_a_full_disk_is_said_in_a_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    embeddings, person = invented()
    np.savez(tmp_path / "faces.npz", embeddings=embeddings, person=person)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    said = facegrid("calibrate", str(tmp_path / "faces.npz"), "--out", str(tmp_path / "out"), code=1)
    assert "error: A file could not be written: No space left on device." in said
