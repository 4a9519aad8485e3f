"""Who is in which photo, by names of files and folders alone: empty files will do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from common.limits import NAME
from deploy.client.photos import Plan, clean, plan


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def names(planned: Plan) -> dict[str, list[str]]:
    return {person.face_id: [Path(photo.name).name for photo in person.photos] for person in planned.people}


def reasons(planned: Plan) -> dict[str, str]:
    return {Path(photo.name).name: photo.reason for photo in planned.skipped}


def test_file_names_with_a_number_name_the_person(tmp_path: Path) -> None:
    touch(*(tmp_path / name for name in ("095_0.bmp", "095_1.bmp", "Anna_Kournikova_0001.jpg", "ada.PNG")))
    assert names(plan([tmp_path])) == {
        "095": ["095_0.bmp", "095_1.bmp"],
        "Anna_Kournikova": ["Anna_Kournikova_0001.jpg"],
        "ada": ["ada.PNG"],
    }


def test_a_folder_of_folders_is_one_folder_per_person_whatever_the_photos_are_called(tmp_path: Path) -> None:
    touch(tmp_path / "Bob Hope" / "IMG_12.jpg", tmp_path / "Bob Hope" / "holiday.webp", tmp_path / "Ada" / "1.jpeg")
    assert names(plan([tmp_path])) == {"Ada": ["1.jpeg"], "Bob_Hope": ["holiday.webp", "IMG_12.jpg"]}


def test_single_photos_and_folders_can_be_mixed_and_a_person_gathers_all_of_hers(tmp_path: Path) -> None:
    touch(tmp_path / "ada_1.jpg", tmp_path / "people" / "ada" / "x.jpg")
    assert names(plan([tmp_path / "ada_1.jpg", tmp_path / "people"])) == {"ada": ["x.jpg", "ada_1.jpg"]}


def test_photos_are_in_the_order_of_their_numbers_not_of_their_digits(tmp_path: Path) -> None:
    touch(*(tmp_path / f"ada_{n}.jpg" for n in (10, 2, 1)))
    assert names(plan([tmp_path])) == {"ada": ["ada_1.jpg", "ada_2.jpg", "ada_10.jpg"]}
    assert names(plan([tmp_path], first=2)) == {"ada": ["ada_1.jpg", "ada_2.jpg"]}
    assert plan([tmp_path], first=2).skipped == ()


def test_a_photo_named_twice_is_enrolled_once(tmp_path: Path) -> None:
    touch(tmp_path / "ada_1.jpg")
    assert names(plan([tmp_path, tmp_path / "ada_1.jpg"])) == {"ada": ["ada_1.jpg"]}


def test_more_photos_than_a_face_has_templates_are_skipped_with_the_reason(tmp_path: Path) -> None:
    touch(*(tmp_path / f"ada_{n:02}.jpg" for n in range(12)))
    planned = plan([tmp_path])
    assert len(planned.people[0].photos) == 10
    assert reasons(planned) == {"ada_10.jpg": "more than 10 photos of ada", "ada_11.jpg": "more than 10 photos of ada"}


def test_what_is_no_photo_is_skipped_with_the_reason_and_hidden_files_are_nothing(tmp_path: Path) -> None:
    touch(tmp_path / "notes.txt", tmp_path / "ada" / "deeper" / "x.jpg", tmp_path / ".hidden.jpg", tmp_path / "README")
    planned = plan([tmp_path])
    assert planned.people == ()
    assert reasons(planned) == {
        "notes.txt": "not a photo (.txt)",
        "README": "not a photo (no extension)",
        "deeper": "a folder inside a person's folder",
    }


def test_two_people_never_become_one_by_cleaning_their_names(tmp_path: Path) -> None:
    touch(tmp_path / "José" / "1.jpg", tmp_path / "Jose" / "1.jpg", tmp_path / "Jose " / "2.jpg")
    planned = plan([tmp_path])
    assert [person.face_id for person in planned.people] == ["Jose"]
    assert len(planned.people[0].photos) == 1
    assert {photo.reason for photo in planned.skipped} == {"its face id would be Jose, like that of Jose"}


@pytest.mark.parametrize(
    ("who", "face_id"),
    [("Anna Kournikova", "Anna_Kournikova"), ("Zoë", "Zoe"), ("a/b", "a_b"), ("_x_", "x"), ("..a", "a"), ("1", "1")],
)
def test_a_name_is_cleaned_to_a_face_id(who: str, face_id: str) -> None:
    assert clean(who) == (face_id, "")
    assert NAME.fullmatch(face_id)


@pytest.mark.parametrize("who", ["王伟", "Ada 王", "…", "x" * 65, ""])
def test_a_name_that_cannot_be_cleaned_without_loss_is_refused_with_the_reason(who: str) -> None:
    face_id, trouble = clean(who)
    assert face_id == ""
    assert trouble


def test_what_is_no_file_is_skipped_and_never_waited_for(tmp_path: Path) -> None:
    touch(tmp_path / "ada_1.jpg")
    os.mkfifo(tmp_path / "ada_2.jpg")
    (tmp_path / "ada_3.jpg").symlink_to("nowhere.jpg")
    planned = plan([tmp_path])
    assert names(planned) == {"ada": ["ada_1.jpg"]}
    assert reasons(planned) == dict.fromkeys(("ada_2.jpg", "ada_3.jpg"), "no file, or a link to none")
