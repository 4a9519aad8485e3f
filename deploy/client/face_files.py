"""Files of faces, as `facegrid import` reads them: npz, parquet, or JSON lines, by the suffix of the name.

npz and parquet have arrays or columns of the same names: `embeddings` (n, d), and where they are there `face_ids`,
`kinds`, `photos`, `spaces` and `stores` (n,). Rows of one face_id are templates of that face. A line of JSON is one
face, as `POST …/faces:batch` takes it, and may have a `store`.

What is read leaves as packages: bodies of requests, each for one store, none so large that a gateway refuses it. A row
is named as the file counts it (arrays from 0, lines from 1). Rows of one face leave together, for the number of photos
is the whole face's; in parquet they must stand within PARQUET_ROWS of each other, or one after another.
"""

from __future__ import annotations

import importlib
import io
import json
import re
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from common.limits import MAX_TEMPLATES, NAME, NAME_RULE
from deploy.client.http import ClientError

SUFFIXES = (".npz", ".parquet", ".ndjson")
COLUMNS = ("embeddings", "face_ids", "kinds", "photos", "spaces")
STORES = "stores"
PACKAGE_FACES = 2_500
"""A tenth of a second of a gateway's work: it keeps its deadline where it is twenty times slower"""
PACKAGE_BYTES = 8_000_000
PARQUET_ROWS = 100_000
"""read at once"""
BUFFERED_BYTES = 64_000_000
"""of lines for many stores, before they are sent in smaller packages"""
LINES, NPZ = "application/x-ndjson", "application/x-npz"
UNREADABLE = (ValueError, TypeError, AttributeError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error)
"""what numpy raises for a damaged file, or for a single array"""
STORE_FIRST = re.compile(rb'\{"store": "([A-Za-z0-9._-]+)", ')
"""how an export begins its lines; others are read as JSON"""

Columns = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Package:
    store: str
    body: bytes
    media_type: str
    places: Sequence[int]
    """of each row, or line, in the file"""


def suffix_of(path: Path) -> str:
    """Raises ClientError for a file of another kind."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ClientError(f"{path.name} is not one of {', '.join(SUFFIXES)}.")
    return suffix


def read_faces(path: Path, store: str | None) -> tuple[int, Iterator[Package]]:
    """The number of rows or lines in the file, and all of it. `store`: for all rows, whatever the file says.

    Raises ClientError, from the packages too, which names the row.
    """
    match suffix_of(path):
        case ".npz":
            columns = _npz(path)
            return len(columns["embeddings"]), _of_columns(columns, 0, store)
        case ".parquet":
            file = _parquet_file(path)
            return int(file.metadata.num_rows), _of_parquet(file, store)
        case _:
            with path.open("rb") as lines:
                count = sum(1 for line in lines if line.strip())
            return count, _of_lines(path, store)


def _npz(path: Path) -> Columns:
    with path.open("rb") as stream:
        if not zipfile.is_zipfile(stream):  # numpy would take it for a pickle, and say how to open that
            raise ClientError(f"{path.name} is no npz file, or one that is cut off.")
    try:
        with np.load(path, allow_pickle=False) as archive:
            columns = {name: archive[name] for name in (*COLUMNS, STORES) if name in archive}
    except UNREADABLE as error:
        raise ClientError(f"{path.name} cannot be read as an npz: {error}.") from error
    return _checked(path, columns)


def _checked(path: Path, columns: Columns) -> Columns:
    if "embeddings" not in columns or columns["embeddings"].ndim != 2:
        raise ClientError(f"{path.name} has no two-dimensional embeddings.")
    if len(columns["embeddings"]) and not columns["embeddings"].size:  # any number of rows, in no bytes
        raise ClientError(f"{path.name} has embeddings without a number.")
    for name, column in columns.items():
        if name != "embeddings" and column.ndim != 1:
            raise ClientError(f"{path.name}: {name} has {column.ndim} dimensions, not one.")
        if len(column) != len(columns["embeddings"]):
            raise ClientError(f"{path.name}: {name} has {len(column)} rows, not {len(columns['embeddings'])}.")
    return columns


def parquet() -> Any:
    """pyarrow's module for it. Raises ClientError where that is not installed."""
    try:
        return importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise ClientError("Parquet files need pyarrow: .venv/bin/pip install pyarrow.") from None


def _parquet_file(path: Path) -> Any:
    library = parquet()
    try:
        return library.ParquetFile(path)
    except (ValueError, OSError) as error:  # pyarrow's own errors are of these
        raise ClientError(f"{path.name} cannot be read as parquet: {error}.") from error


def _of_parquet(file: Any, store: str | None) -> Iterator[Package]:
    names = file.schema_arrow.names
    if "embeddings" not in names:
        raise ClientError("The file has no column embeddings.")
    start = read = 0
    held: Columns = {}
    for batch in file.iter_batches(PARQUET_ROWS, columns=[name for name in (*COLUMNS, STORES) if name in names]):
        columns = _joined(held, _as_arrays(batch, read), read)
        read += batch.num_rows
        end = _end_of_whole_faces(columns)
        yield from _of_columns({name: column[:end] for name, column in columns.items()}, start, store)
        held = {name: column[end:] for name, column in columns.items()}
        start += end
    if held:
        yield from _of_columns(held, start, store)


def _joined(held: Columns, following: Columns, at: int) -> Columns:
    if not held:
        return following
    width, wider = held["embeddings"].shape[1], following["embeddings"].shape[1]
    if len(held["embeddings"]) and width != wider:
        raise ClientError(f"Row {at}: embeddings has {wider} numbers, not {width}.")
    return {name: np.concatenate([held[name], column]) for name, column in following.items()}


def _end_of_whole_faces(columns: Columns) -> int:
    """How many rows there are before those of the last face, of which more may follow."""
    end = len(columns["embeddings"])
    if "face_ids" not in columns:
        return end
    last = columns["face_ids"][max(0, end - MAX_TEMPLATES - 1) :]
    others = np.flatnonzero(last != last[-1:])
    if len(others):
        return end - len(last) + int(others[-1]) + 1
    return end if len(last) > MAX_TEMPLATES else 0  # so many for one face are refused


def _as_arrays(batch: Any, start: int) -> Columns:
    found: dict[str, npt.NDArray[Any]] = {}
    for name in batch.schema.names:
        column = batch.column(name)
        if column.null_count:
            at = column.is_null().to_pylist().index(True)
            raise ClientError(f"Row {start + at}: {name} is null.")
        if name == "embeddings":
            lengths = np.asarray(column.value_lengths())
            if (lengths != lengths[0]).any():
                at = int(np.argmax(lengths != lengths[0]))
                raise ClientError(f"Row {start + at}: embeddings has {lengths[at]} numbers, not {lengths[0]}.")
            found[name] = np.asarray(column.flatten()).reshape(len(column), -1)
        else:
            found[name] = np.array(column.to_pylist())
    return found


def _of_columns(columns: Columns, start: int, store: str | None) -> Iterator[Package]:
    count = len(columns["embeddings"])
    if store is not None:
        yield from _of_store(columns, np.arange(count), start, store)
        return
    if not count:
        return
    if STORES not in columns:
        raise ClientError("The file does not say which store a row is of: name one with --store.")
    named = columns[STORES]
    if named.dtype.kind == "S":
        named = np.char.decode(named, "latin-1")
    names, first, of_row = np.unique(named, return_index=True, return_inverse=True)
    for name, at in zip(names.tolist(), first.tolist(), strict=True):
        _check_store(str(name), f"Row {start + at}")
    order = np.argsort(of_row, kind="stable")
    ends = np.cumsum(np.bincount(of_row, minlength=len(names)))
    for name, rows in zip(names.tolist(), np.split(order, ends[:-1]), strict=True):
        yield from _of_store(columns, rows, start, str(name))


def _of_store(columns: Columns, rows: npt.NDArray[Any], start: int, store: str) -> Iterator[Package]:
    width = columns["embeddings"].shape[1]
    most = max(1, min(PACKAGE_FACES, PACKAGE_BYTES // (4 * max(1, width))))
    rows, faces = _face_by_face(columns, rows)
    at = 0
    while at < len(rows):
        end = min(at + most, len(rows))
        stretch = end + MAX_TEMPLATES  # more are refused in any case
        while faces is not None and end < min(len(rows), stretch) and faces[end] == faces[end - 1]:
            end += 1
        chosen = rows[at:end]
        body = _as_npz({name: columns[name][chosen] for name in COLUMNS if name in columns})
        yield Package(store, body, NPZ, (chosen + start).tolist())
        at = end


def _face_by_face(columns: Columns, rows: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], Sequence[int] | None]:
    """The rows in the order in which their faces begin, and of each a number of its face; None: a face each."""
    if "face_ids" not in columns:
        return rows, None
    begins: dict[object, int] = {}
    faces = [begins.setdefault(face_id, nth) for nth, face_id in enumerate(columns["face_ids"][rows].tolist())]
    order = np.argsort(faces, kind="stable")
    return rows[order], np.array(faces)[order].tolist()


def _as_npz(columns: Columns) -> bytes:
    stream = io.BytesIO()
    sent = dict(columns)
    if sent["embeddings"].dtype.kind == "f":
        sent["embeddings"] = sent["embeddings"].astype(np.float32, copy=False)
    np.savez(stream, allow_pickle=False, **sent)
    return stream.getvalue()


def _of_lines(path: Path, store: str | None) -> Iterator[Package]:
    waiting: defaultdict[str, list[tuple[int, bytes]]] = defaultdict(list)
    sizes: defaultdict[str, int] = defaultdict(int)
    buffered = 0
    with path.open("rb") as lines:
        for number, raw in enumerate(lines, 1):
            if not raw.strip():
                continue
            named, line = _without_store(raw)
            target = store or named
            if target is None:
                raise ClientError(f"Line {number} does not say which store it is of: name one with --store.")
            _check_store(target, f"Line {number}")
            waiting[target].append((number, line))
            sizes[target] += len(line)
            buffered += len(line)
            if sizes[target] >= PACKAGE_BYTES or len(waiting[target]) == PACKAGE_FACES:
                yield _of_waiting(target, waiting.pop(target))
                buffered -= sizes.pop(target)
            elif buffered >= BUFFERED_BYTES:
                yield from (_of_waiting(name, own) for name, own in waiting.items())
                waiting.clear()
                sizes.clear()
                buffered = 0
    yield from (_of_waiting(name, own) for name, own in waiting.items())


def _of_waiting(store: str, lines: Sequence[tuple[int, bytes]]) -> Package:
    body = b"\n".join(line.rstrip(b"\r\n") for _, line in lines)
    return Package(store, body, LINES, [number for number, _ in lines])


def _without_store(raw: bytes) -> tuple[str | None, bytes]:
    """The store that the line names, and the line as the gateway takes it."""
    if found := STORE_FIRST.match(raw):
        return found[1].decode(), b"{" + raw[found.end() :]
    if b'"store"' not in raw:
        return None, raw
    try:
        told = json.loads(raw)
        name = told.pop("store")
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return None, raw  # the gateway says what is wrong with it
    return None if name is None else str(name), json.dumps(told).encode()


def _check_store(name: str, place: str) -> None:
    if NAME.fullmatch(name) is None:
        raise ClientError(f"{place}: the store's name must be {NAME_RULE}.")
