"""Which photo shows whom: a folder of folders, or a list. Names of files alone; pixels are looked at in `faces`."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import CannotTrain
from deploy.client.photos import Skipped, plan


@dataclass(frozen=True, slots=True)
class Labelled:
    path: Path
    person: str


@dataclass(frozen=True, slots=True)
class Collection:
    photos: tuple[Labelled, ...]
    """by person, then in the order of their numbers or of the list"""
    skipped: tuple[Skipped, ...]

    def fingerprint(self, *more: object) -> str:
        """Changes when a photo comes, goes, is changed or changes hands; a resumed run needs the same photos."""
        hashed = hashlib.sha256(repr(more).encode())
        for photo in self.photos:
            stat = photo.path.stat()
            hashed.update(repr((str(photo.path), photo.person, stat.st_size, stat.st_mtime_ns)).encode())
        return hashed.hexdigest()


def from_folder(folder: Path) -> Collection:
    """One folder for each person, or photos named `<person>_<n>`, as `facegrid enrol` takes them."""
    found = plan([folder], most=sys.maxsize)
    photos = [Labelled(Path(photo.name), person.face_id) for person in found.people for photo in person.photos]
    return _checked(photos, found.skipped, folder)


def from_list(file: Path, folder: Path) -> Collection:
    """A text of lines `path<TAB>person`; paths are relative to `folder`. Empty lines and lines that begin with # do not
    count. Raises CannotTrain naming the line that is wrong, and photos that are not there in `skipped`."""
    photos: list[Labelled] = []
    skipped: list[Skipped] = []
    seen: dict[Path, int] = {}
    for number, line in enumerate(_lines(file), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = [field.strip() for field in line.split("\t")]
        if len(fields) != 2 or not all(fields):
            raise CannotTrain(f"{file}:{number}: a line is `path<TAB>person`.", field="list", limit=number)
        name, person = fields
        path = folder / name
        if path in seen:
            raise CannotTrain(f"{file}:{number}: {name} is in line {seen[path]} already.", field="list", limit=number)
        seen[path] = number
        if path.is_file():
            photos.append(Labelled(path, person))
        else:
            skipped.append(Skipped(name, f"line {number}: there is no such file"))
    return _checked(sorted(photos, key=lambda photo: photo.person), skipped, file)


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise CannotTrain(f"{file} is no text.", field="list") from None


def _checked(photos: Sequence[Labelled], skipped: Sequence[Skipped], source: Path) -> Collection:
    if not photos:
        raise CannotTrain(f"There are no photos in {source}.", field="photos")
    return Collection(tuple(photos), tuple(skipped))
