"""Files of faces, as `facegrid import` reads them: npz, parquet, or JSON lines, by the suffix of the name.

npz and parquet have arrays or columns of the same names: `embeddings` (n, d), and where they are there `face_ids`,
`kinds`, `photos` and `stores` (n,). Rows of one face_id are templates of that face. A line of JSON is one face, as
`POST …/faces:batch` takes it, and may have a `store`.

What is read leaves as packages: bodies of requests, each for one store, none so large that a gateway refuses it. A row
is named as the file counts it (arrays from 0, lines from 1).
"""

from __future__ import annotations

import importlib
import io
import json
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from common.limits import NAME, NAME_RULE
from deploy.client.http import ClientError

SUFFIXES = (".npz", ".parquet", ".ndjson")
COLUMNS = ("embeddings", "face_ids", "kinds", "photos")
STORES = "stores"
PACKAGE_FACES = 2_500
"""A tenth of a second of a gateway's work: it keeps its deadline where it is twenty times slower"""
PACKAGE_BYTES = 8_000_000
PARQUET_ROWS = 100_000
"""read at once"""
BUFFERED_BYTES = 64_000_000
"""of lines for many stores, before they are sent in smaller packages"""
LINES, NPZ = "application/x-ndjson", "application/x-npz"
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
    try:
        with np.load(path, allow_pickle=False) as archive:
            columns = {name: archive[name] for name in (*COLUMNS, STORES) if name in archive}
    except (ValueError, zipfile.BadZipFile, EOFError) as error:
        raise ClientError(f"{path.name} cannot be read as an npz: {error}.") from error
    return _checked(path, columns)


def _checked(path: Path, columns: Columns) -> Columns:
    if "embeddings" not in columns or columns["embeddings"].ndim != 2:
        raise ClientError(f"{path.name} has no two-dimensional embeddings.")
    for name, column in columns.items():
        if len(column) != len(columns["embeddings"]):
            raise ClientError(f"{path.name}: {name} has {len(column)} rows, not {len(columns['embeddings'])}.")
    return columns


def parquet() -> Any:
    """pyarrow's module for it. Raises ClientError where that is not installed."""
    try:
        return importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise ClientError("Parquet files need pyarrow: pip install 'facegrid[parquet]'.") from None


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
    start = 0
    for batch in file.iter_batches(PARQUET_ROWS, columns=[name for name in (*COLUMNS, STORES) if name in names]):
        yield from _of_columns(_as_arrays(batch, start), start, store)
        start += batch.num_rows


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
    names, first, of_row = np.unique(columns[STORES], return_index=True, return_inverse=True)
    for name, at in zip(names.tolist(), first.tolist(), strict=True):
        _check_store(str(name), f"Row {start + at}")
    order = np.argsort(of_row, kind="stable")
    ends = np.cumsum(np.bincount(of_row, minlength=len(names)))
    for name, rows in zip(names.tolist(), np.split(order, ends[:-1]), strict=True):
        yield from _of_store(columns, rows, start, str(name))


def _of_store(columns: Columns, rows: npt.NDArray[Any], start: int, store: str) -> Iterator[Package]:
    width = columns["embeddings"].shape[1]
    most = max(1, min(PACKAGE_FACES, PACKAGE_BYTES // (4 * max(1, width))))
    at = 0
    while at < len(rows):
        end = min(at + most, len(rows))
        chosen = rows[at:end]
        body = _as_npz({name: columns[name][chosen] for name in COLUMNS if name in columns})
        yield Package(store, body, NPZ, (chosen + start).tolist())
        at = end


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
    with path.open("rb") as lines:
        for number, raw in enumerate(lines, 1):
            if not raw.strip():
                continue
            named, line = _without_store(raw, number)
            target = store or named
            if target is None:
                raise ClientError(f"Line {number} does not say which store it is of: name one with --store.")
            waiting[target].append((number, line))
            sizes[target] += len(line)
            if sizes[target] >= PACKAGE_BYTES or len(waiting[target]) == PACKAGE_FACES:
                yield _of_waiting(target, waiting.pop(target))
                del sizes[target]
            elif sum(sizes.values()) >= BUFFERED_BYTES:
                yield from (_of_waiting(name, own) for name, own in waiting.items())
                waiting.clear()
                sizes.clear()
    yield from (_of_waiting(name, own) for name, own in waiting.items())


def _of_waiting(store: str, lines: Sequence[tuple[int, bytes]]) -> Package:
    body = b"\n".join(line.rstrip(b"\r\n") for _, line in lines)
    return Package(store, body, LINES, [number for number, _ in lines])


def _without_store(raw: bytes, number: int) -> tuple[str | None, bytes]:
    """The store that the line names, and the line as the gateway takes it."""
    if found := STORE_FIRST.match(raw):
        name, line = found[1].decode(), b"{" + raw[found.end() :]
    elif b'"store"' not in raw:
        return None, raw
    else:
        try:
            told = json.loads(raw)
            name = str(told.pop("store"))
        except (ValueError, KeyError, AttributeError, TypeError):
            return None, raw  # the gateway says what is wrong with it
        line = json.dumps(told).encode()
    _check_store(name, f"Line {number}")
    return name, line


def _check_store(name: str, place: str) -> None:
    if NAME.fullmatch(name) is None:
        raise ClientError(f"{place}: the store's name must be {NAME_RULE}.")
