"""From paths to people: which photo shows whom, by the names of folders and files. Looks at names, never at pixels.

- a folder of folders: each folder is one person and its name the face id;
- a photo `<face id>_<n>.ext`: `095_0.bmp` shows 095, `Anna_Kournikova_0001.jpg` shows Anna_Kournikova;
- any other photo: its name without the extension is the face id.

Face ids are cleaned to the characters that a face id may have, but never so that two people become one.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common.limits import MAX_PHOTOS, NAME, NAME_RULE

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
NUMBERED = re.compile(r"(?P<who>.+)_(?P<n>\d+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo on disk, or in memory with a name of its own."""

    name: str
    source: Path | bytes = field(repr=False)

    def read(self) -> bytes:
        """Raises OSError for a file that cannot be read."""
        return self.source if isinstance(self.source, bytes) else self.source.read_bytes()


@dataclass(frozen=True, slots=True)
class Person:
    face_id: str
    photos: tuple[Photo, ...]
    """in the order of their numbers; 1 to MAX_PHOTOS"""


@dataclass(frozen=True, slots=True)
class Skipped:
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    people: tuple[Person, ...]
    """by face id"""
    skipped: tuple[Skipped, ...]


def plan(paths: Sequence[Path], first: int | None = None, most: int = MAX_PHOTOS) -> Plan:
    """Who is to be enrolled from these files and folders, with which photos, and what is left out and why.

    `first`: only the first so many photos of each person (the rest is not counted as skipped).
    """
    found: dict[str, dict[str, Path]] = {}
    skipped: list[Skipped] = []
    for path in paths:
        for who, photo in _walk(path, skipped):
            found.setdefault(who, {}).setdefault(os.path.realpath(photo), photo)
    people: dict[str, Person] = {}
    names: dict[str, str] = {}
    for who in sorted(found):
        photos = sorted(found[who].values(), key=_order)[:first]
        face_id, trouble = clean(who)
        if face_id in names:
            trouble = f"its face id would be {face_id}, like that of {names[face_id]}"
        if trouble:
            skipped += [Skipped(str(photo), trouble) for photo in photos]
            continue
        names[face_id] = who
        skipped += [Skipped(str(photo), f"more than {most} photos of {face_id}") for photo in photos[most:]]
        people[face_id] = Person(face_id, tuple(Photo(str(photo), photo) for photo in photos[:most]))
    return Plan(tuple(people[face_id] for face_id in sorted(people)), tuple(skipped))


def clean(who: str) -> tuple[str, str]:
    """The face id for a name, or why there is none: one of the two is empty. Accents go, spaces become '_'."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", who) if not unicodedata.combining(c))
    if any(c.isalnum() and not c.isascii() for c in plain):
        return "", f"{who!r} has letters that a face id cannot have; rename it"
    face_id = re.sub(r"[^A-Za-z0-9._-]+", "_", plain).strip("_").lstrip("._-")
    if NAME.fullmatch(face_id) is None:
        return "", f"{who!r} makes no face id: {NAME_RULE}"
    return face_id, ""


def _walk(path: Path, skipped: list[Skipped]) -> Iterator[tuple[str, Path]]:
    """(who, photo) for everything under a path; what is no photo goes to `skipped`."""
    if not path.is_dir():
        yield from ((_shown(photo), photo) for photo in _photos([path], skipped))
        return
    entries = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    yield from ((_shown(photo), photo) for photo in _photos((e for e in entries if not e.is_dir()), skipped))
    for folder in (entry for entry in entries if entry.is_dir()):
        inside = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
        yield from ((folder.name, photo) for photo in _photos(inside, skipped))


def _photos(paths: Iterable[Path], skipped: list[Skipped]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            skipped.append(Skipped(str(path), "a folder inside a person's folder"))
        elif path.suffix.lower() not in EXTENSIONS:
            skipped.append(Skipped(str(path), f"not a photo ({path.suffix or 'no extension'})"))
        elif not path.is_file():  # a pipe would be waited for, for ever
            skipped.append(Skipped(str(path), "no file, or a link to none"))
        else:
            yield path


def _shown(photo: Path) -> str:
    numbered = NUMBERED.fullmatch(photo.stem)
    return numbered["who"] if numbered else photo.stem


def _order(photo: Path) -> tuple[int, str]:
    """By number, so that _2 comes before _10; photos without one come first, by name."""
    numbered = NUMBERED.fullmatch(photo.stem)
    return (int(numbered["n"]) if numbered else -1, photo.name)
