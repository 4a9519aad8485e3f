"""How one face is written in Redis: MessagePack, with the gallery row and the templates as raw little-endian float32.

The record holds all that a replica needs (the row); the templates sit in their own hash, read only when one is added.
Most faces have a single template, which is their row: it is kept once, in the record.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import ormsgpack

from common.types import VISITOR, Kind, KnownAs, Vectors

MOST_PHOTOS = 255
AS_ROW = b"="
"""in the place of the templates: there is one, and it is the record's row"""


@dataclass(slots=True)
class FaceRecord:
    """Not frozen, though nobody changes one: a replica makes a million of them when it starts, and a frozen one costs
    two microseconds more."""

    row: Vectors
    """(d,) unit-length mean of the templates"""
    space: str
    kind: Kind
    created: float
    """Unix seconds, as `updated`"""
    updated: float
    templates: int
    labels: dict[str, str] = field(default_factory=dict)
    member_id: str | None = None
    thumbnail: bool = False
    """whether an aligned thumbnail is kept"""
    photos: int = 0
    """behind the row where that is more than one a template: a track's template is the mean of its photos"""

    @property
    def photos_behind(self) -> int:
        """At most 255, as a gallery keeps it in a byte; from ten on it hardly matters."""
        return min(max(self.photos, self.templates), MOST_PHOTOS)

    @property
    def known_as(self) -> KnownAs:
        return VISITOR if self.kind is Kind.VISITOR else (self.kind, self.member_id)

    def pack(self) -> bytes:
        """What is as it is by default is left out: a replica reads every record when it starts."""
        said: dict[str, Any] = {
            "row": pack_vectors(self.row),
            "space": self.space,
            "kind": self.kind.value,
            "created": self.created,
            "updated": self.updated,
            "templates": self.templates,
        }
        if self.labels:
            said["labels"] = self.labels
        if self.member_id is not None:
            said["member_id"] = self.member_id
        if self.thumbnail:
            said["thumbnail"] = True
        if self.photos:
            said["photos"] = self.photos
        return ormsgpack.packb(said)

    @classmethod
    def unpack(cls, raw: bytes) -> FaceRecord:
        """Raises KeyError, TypeError or ValueError on bytes that `pack` did not make.

        Fields that a later version added are passed over: replicas of two versions serve side by side in an upgrade.
        """
        read = ormsgpack.unpackb(raw)
        if not FIELDS.issuperset(read):
            read = {name: read[name] for name in FIELDS if name in read}
        read["row"] = np.frombuffer(read["row"], dtype="<f4")
        read["kind"] = KINDS[read["kind"]]
        return cls(**read)


FIELDS = frozenset(one.name for one in fields(FaceRecord))
KINDS = {kind.value: kind for kind in Kind}
"""faster than `Kind(value)`: a replica reads every record when it starts"""


def standing_of(record: FaceRecord) -> str:
    """The record's entry in `keys.standings`, "" for none: "s" staff, "m" member, and whose: "s:<id>", "m:<id>"."""
    match record.kind:
        case Kind.STAFF:
            return _bound("s", record.member_id)
        case Kind.MEMBER:
            return _bound("m", record.member_id)
        case Kind.VISITOR:
            return ""


def _bound(letter: str, member_id: str | None) -> str:
    return letter if member_id is None else f"{letter}:{member_id}"


def templates_beside(record: bytes, templates: bytes) -> bytes:
    """What a write says of the templates of a packed record: AS_ROW where the record holds all of them."""
    return AS_ROW if templates and templates in record else templates


def templates_of(record: FaceRecord, beside: bytes | None) -> bytes:
    """The templates of a face of which the hash of templates holds `beside`."""
    if beside is None and record.templates == 1:
        return pack_vectors(record.row)
    return beside or b""


def pack_vectors(vectors: Vectors) -> bytes:
    return vectors.astype("<f4", copy=False).tobytes()


def unpack_vectors(raw: bytes, dimension: int) -> Vectors:
    """(n, dimension) read-only float32; raises ValueError where the length is no whole number of rows."""
    return np.frombuffer(raw, dtype="<f4").reshape(-1, dimension)
