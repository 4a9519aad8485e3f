"""From folders and lists to photos with people."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from common.errors import CannotTrain
from deploy.train.photos import from_folder, from_list


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """ada/1.jpg, ada/2.jpg, bob/1.jpg; the pixels do not matter here."""
    for name in ("ada/1.jpg", "ada/2.jpg", "bob/1.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def test_a_folder_is_a_person(folder: Path) -> None:
    (folder / "bob" / "notes.txt").write_text("no photo")
    found = from_folder(folder)
    assert [(photo.path.name, photo.person) for photo in found.photos] == [
        ("1.jpg", "ada"),
        ("2.jpg", "ada"),
        ("1.jpg", "bob"),
    ]
    assert [skipped.reason for skipped in found.skipped] == ["not a photo (.txt)"]


def test_a_list_says_who_is_on_which_photo(folder: Path) -> None:
    lines = "\ufeff# people\n\nbob/1.jpg\tBob B.\nada/1.jpg\tAda\nada/2.jpg\tAda\nada/3.jpg\tAda\n"
    (folder / "list.txt").write_text(lines)
    found = from_list(folder / "list.txt", folder)
    assert [(str(photo.path.relative_to(folder)), photo.person) for photo in found.photos] == [
        ("ada/1.jpg", "Ada"),
        ("ada/2.jpg", "Ada"),
        ("bob/1.jpg", "Bob B."),
    ]
    assert [(skipped.name, skipped.reason) for skipped in found.skipped] == [
        ("ada/3.jpg", "line 6: there is no such file")
    ]


@pytest.mark.parametrize("second", ["ada/2.jpg Ada", "ada/2.jpg\t", "\tAda", "a\tb\tc", "ada/1.jpg\tBob"])
def test_a_line_that_says_nothing_clear_is_named(folder: Path, second: str) -> None:
    (folder / "list.txt").write_text(f"ada/1.jpg\tAda\n{second}\n")
    with pytest.raises(CannotTrain, match=r"list\.txt:2: ") as caught:
        from_list(folder / "list.txt", folder)
    assert (caught.value.field, caught.value.limit) == ("list", 2)


def test_no_photos_and_no_text_are_said(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CannotTrain, match="no photos"):
        from_folder(tmp_path / "empty")
    (folder / "list.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CannotTrain, match="no text"):
        from_list(folder / "list.txt", folder)


def test_the_fingerprint_changes_with_a_photo_and_with_who_is_on_it(folder: Path) -> None:
    before = from_folder(folder).fingerprint(96)
    assert from_folder(folder).fingerprint(96) == before
    assert from_folder(folder).fingerprint(112) != before
    os.utime(folder / "ada" / "1.jpg", ns=(1, 1))
    changed = from_folder(folder).fingerprint(96)
    assert changed != before
    (folder / "ada" / "2.jpg").rename(folder / "bob" / "2.jpg")
    assert from_folder(folder).fingerprint(96) != changed
