"""The faces of one bulk enrolment, read and checked as a whole: as lines of JSON, or as the arrays of an npz.

Whatever is wrong names its line (from 1) or its row (from 0) beside the field and the limit, and then nothing of the
body has been written. Several rows with one face_id are templates of that face; a line has all of its face's.
"""

from __future__ import annotations

import hashlib
import io
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from common.cluster_map import StoreConfig
from common.errors import BodyTooLarge, InvalidEmbedding, InvalidRequest, MalformedBody, WrongDimension, WrongSpace
from common.http import LIMITS
from common.incarnations import creation
from common.limits import MAX_BULK, MAX_TEMPLATES, NAME, check_labels, check_name, json_bytes
from common.records import MOST_PHOTOS
from common.types import Kind, Vectors
from common.vectors import unit_rows
from gateway.body import TOO_MANY, first_misfit
from gateway.bulk import Bulk, Place, naming
from gateway.enrol import Enrolment
from gateway.npz import Arrays, read_npz
from gateway.schemas.bulk import BulkLine

ARRAYS = {"embeddings": "f", "face_ids": "US", "kinds": "US", "photos": "iu", "spaces": "US"}
"""of an npz, and the kinds of numpy's types that each may have"""
KINDS = {kind.value: kind for kind in Kind}
LONGEST_FIELD = 128
"""told of a name that the caller made up"""


def read_lines(body: bytes, home: StoreConfig) -> Bulk:
    """The faces of a body of JSON lines for that store.

    Raises MalformedBody, InvalidRequest, WrongSpace, WrongDimension, NotFinite and ZeroVector.
    """
    dimension = home.dimension
    lines: list[BulkLine] = []
    places: list[int] = []
    vectors: list[Sequence[float]] = []
    for number, raw in enumerate(io.BytesIO(body), 1):  # line by line: millions of empty ones must not be kept
        if raw.strip():
            _check_count(len(lines) + 1)
            with naming("line", number):
                line = _line(raw, home)
            lines.append(line)
            places.append(number)
            vectors += line.all_embeddings
    ends = np.cumsum([0] + [len(line.all_embeddings) for line in lines]).tolist()
    of_vector = np.repeat(places, np.diff(ends)).tolist()
    rows = _unit_rows(np.array(vectors, dtype=np.float64).reshape(-1, dimension), dimension, "line", of_vector)
    faces, known = [], dict[str, int]()
    for nth, line in enumerate(lines):
        own = rows[ends[nth] : ends[nth + 1]]
        face_id = line.face_id or _made_up(_salt(home), own)
        with naming("line", places[nth]):
            if (first := known.setdefault(face_id, places[nth])) != places[nth]:
                raise InvalidRequest(f"The face is on line {first} already.", field="face_id")
        faces.append((face_id, Enrolment(own, face_id, line.kind, line.labels, photos=_photos(line.photos, len(own)))))
    return _bulk(faces, "line", places)


def _line(raw: bytes, home: StoreConfig) -> BulkLine:
    most = json_bytes(MAX_TEMPLATES * home.dimension)
    if len(raw) > most:
        raise BodyTooLarge(f"It may have at most {most} bytes.", field="body", limit=most)
    try:
        line = BulkLine.model_validate_json(raw)
    except ValidationError as error:
        first = first_misfit(error)
        if first["type"] == "json_invalid":
            raise MalformedBody(f"This is not JSON: {first['msg']}.", field="body") from error
        whole = "body" if first["type"] == TOO_MANY else "embeddings"  # of which the line has neither form, or both
        field = ".".join(str(part) for part in first["loc"])[:LONGEST_FIELD] or whole
        told = first.get("ctx", {})
        limit = next((told[name] for name in LIMITS if isinstance(told.get(name), int | float | str)), None)
        raise InvalidRequest(f"{field}: {first['msg']}.", field=field, limit=limit) from error
    if line.space is not None and line.space != home.space:
        raise _of_another_space("space", line.space, home)
    for at, embedding in enumerate(line.all_embeddings):
        if len(embedding) != home.dimension:
            raise WrongDimension(
                f"embeddings[{at}] has {len(embedding)} numbers, not {home.dimension}.",
                field=f"embeddings[{at}]",
                limit=home.dimension,
            )
    if line.face_id is not None:
        check_name("face_id", line.face_id)
    if line.labels is not None:
        check_labels(line.labels)
    return line


def read_arrays(body: bytes, home: StoreConfig, most_bytes: int) -> Bulk:
    """The faces of an npz: `embeddings` (n, dimension), and where they are there the other `ARRAYS` (n,).

    Raises as `read_lines` does, and BodyTooLarge where it would have more than `most_bytes` unpacked.
    """
    arrays = read_npz(body, ARRAYS, most_bytes)
    if "embeddings" not in arrays:
        raise InvalidRequest("The npz has no array embeddings.", field="embeddings")
    count = len(arrays["embeddings"]) if arrays["embeddings"].ndim else 0
    for name, array in arrays.items():
        if array.ndim != (2 if name == "embeddings" else 1) or len(array) != count:
            raise InvalidRequest(f"{name} has the shape {array.shape}; a row each is needed.", field=name, limit=count)
    _check_rows(arrays, home)
    if "spaces" in arrays:
        for at, space in enumerate(_texts("spaces", arrays["spaces"])):
            if space != home.space:
                with naming("row", at):
                    raise _of_another_space("spaces", space, home)
    rows = _unit_rows(arrays["embeddings"], home.dimension, "row", range(count))
    kinds, photos = _kinds(arrays), _photo_counts(arrays)
    faces, places = [], []
    for face_id, own in _by_face(arrays, rows, _salt(home)).items():
        if len(own) > 1:
            with naming("row", own[0]):
                _check_one_face(face_id, own, kinds=kinds, photos=photos)
        at = own[0]
        vectors = rows[at : at + 1] if len(own) == 1 else rows[own]
        kind = None if kinds is None else kinds[at]
        behind = None if photos is None else photos[at]
        faces.append((face_id, Enrolment(vectors, face_id, kind, photos=_photos(behind, len(own)))))
        places.append(at)
    return _bulk(faces, "row", places)


def _check_rows(arrays: Arrays, home: StoreConfig) -> None:
    """Before anything is made of each: rows of no width are any number in no bytes."""
    count, width = arrays["embeddings"].shape
    if width != home.dimension:
        raise WrongDimension(
            f"embeddings: each needs {home.dimension} numbers, not {width}.", field="embeddings", limit=home.dimension
        )
    if "face_ids" not in arrays:
        _check_count(count)
    if count > (most := MAX_BULK * MAX_TEMPLATES):
        raise InvalidRequest(f"At most {most} rows are allowed, not {count}.", field="embeddings", limit=most)


def _check_one_face(face_id: str, own: Sequence[int], **said: Sequence[Any] | None) -> None:
    if len(own) > MAX_TEMPLATES:
        raise InvalidRequest(f"Face {face_id} has {len(own)} embeddings.", field="embeddings", limit=MAX_TEMPLATES)
    for name, values in said.items():
        if values is not None and len({values[at] for at in own}) > 1:
            raise InvalidRequest(f"The rows of face {face_id} have different {name}.", field=name)


def _by_face(arrays: Arrays, rows: Vectors, salt: str) -> dict[str, list[int]]:
    """The rows of each face, in the order in which they begin."""
    found: defaultdict[str, list[int]] = defaultdict(list)
    if "face_ids" in arrays:
        for at, face_id in enumerate(_texts("face_ids", arrays["face_ids"])):
            if face_id not in found and (NAME.fullmatch(face_id) is None or len(found) == MAX_BULK):
                with naming("row", at):
                    check_name("face_ids", face_id)
                    _check_count(len(found) + 1)
            found[face_id].append(at)
    else:
        for at in range(len(rows)):
            found[_made_up(salt, rows[at : at + 1])].append(at)
    return found


def _texts(name: str, array: npt.NDArray[Any]) -> list[str]:
    try:
        return [text if isinstance(text, str) else text.decode("ascii") for text in array.tolist()]
    except ValueError as error:  # no code points, or no ASCII
        raise InvalidRequest(f"{name} holds something that is no text.", field=name) from error


def _kinds(arrays: Arrays) -> list[Kind] | None:
    if "kinds" not in arrays:
        return None
    texts = _texts("kinds", arrays["kinds"])
    for at, text in enumerate(texts):
        if text not in KINDS:
            with naming("row", at):
                raise InvalidRequest(f"{text[:32]!r} is no kind.", field="kinds", limit=list(KINDS))
    return [KINDS[text] for text in texts]


def _photo_counts(arrays: Arrays) -> list[int] | None:
    if "photos" not in arrays:
        return None
    photos: list[int] = arrays["photos"].tolist()
    for at, count in enumerate(photos):
        if not 1 <= count <= MOST_PHOTOS:
            with naming("row", at):
                raise InvalidRequest(f"photos must be from 1 to {MOST_PHOTOS}.", field="photos", limit=[1, MOST_PHOTOS])
    return photos


def _photos(said: int | None, embeddings: int) -> int:
    """As a record has it: only where it is more than one an embedding."""
    return said if said is not None and said > embeddings else 0


def _unit_rows(vectors: npt.NDArray[Any], dimension: int, place: Place, places: Sequence[int]) -> Vectors:
    try:
        return unit_rows(vectors, dimension)
    except InvalidEmbedding:
        for at in range(len(vectors)):
            with naming(place, places[at]):
                unit_rows(vectors[at : at + 1], dimension, "embedding")
        raise


def _of_another_space(field: str, space: str, home: StoreConfig) -> WrongSpace:
    """Two spaces may have as many numbers, and then nothing else would tell."""
    detail = f"It is in {space[:LONGEST_FIELD]}, store {home.store} in {home.space}."
    return WrongSpace(detail, field=field, limit=home.space)


def _salt(home: StoreConfig) -> str:
    """Of the names that are made up."""
    return creation(home.incarnation)


def _made_up(salt: str, embeddings: Vectors) -> str:
    """A name for a face that has none: the same when the request is repeated, so that nobody is enrolled twice; and at
    another store, or at this one created again, another."""
    return hashlib.blake2b(embeddings.tobytes(), digest_size=16, key=salt.encode()).hexdigest()


def _check_count(count: int) -> None:
    if count > MAX_BULK:
        raise InvalidRequest(f"At most {MAX_BULK} faces are allowed in one request.", field="faces", limit=MAX_BULK)


def _bulk(faces: Sequence[tuple[str, Enrolment]], place: Place, places: Sequence[int]) -> Bulk:
    if not faces:
        raise InvalidRequest("There is no face in the body.", field="body", limit=[1, MAX_BULK])
    return Bulk(faces, place, places)
