"""Who is enrolled in the demo, and who must not be found."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.demo.cast import from_folder, homes


def folder_of(root: Path, **photos: int) -> Path:
    for name, count in photos.items():
        (root / name).mkdir()
        for n in range(count):
            (root / name / f"{n}.jpg").touch()
    return root


def test_every_other_person_is_enrolled_and_the_last_photo_is_kept_back(tmp_path: Path) -> None:
    cast = from_folder(folder_of(tmp_path, ada=3, bob=2, cyd=4, dan=2, eve=1))
    assert [(person.face_id, len(person.photos), len(kept)) for person, kept in cast.shoppers] == [
        ("ada", 2, 1),
        ("cyd", 3, 1),
    ]
    assert [name for name, _ in cast.strangers] == ["bob", "dan", "eve"]
    for person, kept in cast.shoppers:
        assert not set(kept) & set(person.photos)


def test_people_take_turns_at_the_stores(tmp_path: Path) -> None:
    cast = from_folder(folder_of(tmp_path, a=2, b=2, c=2, d=2, e=2, f=2))
    placed = {store: [person.face_id for person in people] for store, people in homes(cast, ["x", "y"]).items()}
    assert placed == {"x": ["a", "e"], "y": ["c"]}


def test_a_folder_with_too_few_people_is_refused_with_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="four people or more"):
        from_folder(folder_of(tmp_path, a=2, b=2))
