"""Files of faces, as `facegrid export` writes them, out of a gateway's lines; `face_files` reads them again.

JSON lines keep all that a gateway tells, and the store. npz and parquet have a row a template, with the kind, the
number of photos and the embedding space of its face; labels and members are left out. A file of faces is its owner's
alone to read, and has its name only when it is complete.
"""

from __future__ import annotations

import importlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np

from common.records import MOST_PHOTOS
from common.types import Vectors
from deploy.client.face_files import parquet, suffix_of
from deploy.client.http import ClientError

ROW_GROUP = 50_000
"""rows of a parquet file written at once"""


class Writer(Protocol):
    def add(self, store: str, lines: Sequence[bytes]) -> None:
        """Write faces of a store, as a gateway exports them."""

    def close(self) -> None:
        """Nothing is added any more."""


@contextmanager
def writing(path: Path) -> Iterator[Writer]:
    """A writer of the file, by its suffix. Whatever has that name is replaced at the end, if all went well."""
    suffix = suffix_of(path)
    if suffix == ".parquet":
        parquet()
    # A new file each time, for its owner alone: one that lay there could be somebody else's, or lead elsewhere.
    handle, part = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        try:
            writer = _writer(suffix, file)
            yield writer
            writer.close()
            file.flush()
            os.fsync(file.fileno())
            Path(part).replace(path)
        except BaseException:
            Path(part).unlink()
            raise


def _writer(suffix: str, file: BinaryIO) -> Writer:
    match suffix:
        case ".npz":
            return NpzWriter(file)
        case ".parquet":
            return ParquetWriter(file)
        case _:
            return LineWriter(file)


class LineWriter:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def add(self, store: str, lines: Sequence[bytes]) -> None:
        head = b'{"store": %s, ' % json.dumps(store).encode()
        self._file.writelines(head + line.removeprefix(b"{") + b"\n" for line in lines)

    def close(self) -> None:
        """All is written."""


class Rows:
    """Templates of faces, column by column."""

    def __init__(self) -> None:
        self.stores: list[str] = []
        self.face_ids: list[str] = []
        self.kinds: list[str] = []
        self.photos: list[int] = []
        self.spaces: list[str] = []
        self.blocks: list[Vectors] = []

    def add(self, store: str, lines: Sequence[bytes]) -> None:
        """Raises ClientError where the embeddings are of another length than those before."""
        for line in lines:
            face = json.loads(line)
            block = np.array(face["embeddings"], dtype=np.float32)
            if self.blocks and block.shape[1] != self.blocks[0].shape[1]:
                raise ClientError(
                    f"Store {store} has embeddings of {block.shape[1]} numbers, others of {self.blocks[0].shape[1]}: "
                    "write a file each, or .ndjson."
                )
            count = len(block)
            self.blocks.append(block)
            self.stores += [store] * count
            self.face_ids += [face["face_id"]] * count
            self.kinds += [face["kind"]] * count
            self.photos += [min(face["photos"], MOST_PHOTOS)] * count
            self.spaces += [face["space"]] * count

    @property
    def embeddings(self) -> Vectors:
        """(n, d); (0, 0) of nobody."""
        return np.concatenate(self.blocks) if self.blocks else np.zeros((0, 0), dtype=np.float32)


class NpzWriter:
    """In memory until the end: an array's length stands before it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._rows = Rows()

    def add(self, store: str, lines: Sequence[bytes]) -> None:
        self._rows.add(store, lines)

    def close(self) -> None:
        rows = self._rows
        np.savez(
            self._file,
            embeddings=rows.embeddings,
            face_ids=np.array(rows.face_ids, dtype=np.str_),
            kinds=np.array(rows.kinds, dtype=np.str_),
            photos=np.array(rows.photos, dtype=np.uint8),
            spaces=np.array(rows.spaces, dtype=np.str_),
            stores=np.array(rows.stores, dtype=np.str_),
        )


class ParquetWriter:
    """Embeddings as a list of float32 each."""

    def __init__(self, file: BinaryIO) -> None:
        self._arrow: Any = importlib.import_module("pyarrow")
        text = self._arrow.string()
        self._schema = self._arrow.schema(
            {
                "stores": text,
                "face_ids": text,
                "kinds": text,
                "photos": self._arrow.uint8(),
                "spaces": text,
                "embeddings": self._arrow.list_(self._arrow.float32()),
            }
        )
        self._writer: Any = parquet().ParquetWriter(file, self._schema)
        self._rows = Rows()

    def add(self, store: str, lines: Sequence[bytes]) -> None:
        self._rows.add(store, lines)
        if len(self._rows.stores) >= ROW_GROUP:
            self._write()

    def close(self) -> None:
        self._write()
        self._writer.close()

    def _write(self) -> None:
        rows, self._rows = self._rows, Rows()
        if rows.blocks:
            self._rows.blocks = [rows.blocks[0][:0]]  # what comes next must be as long
        embeddings = rows.embeddings
        ends = np.arange(len(embeddings) + 1, dtype=np.int32) * (embeddings.shape[1] if len(embeddings) else 0)
        lists = self._arrow.ListArray.from_arrays(ends, self._arrow.array(embeddings.reshape(-1)))
        columns = [rows.stores, rows.face_ids, rows.kinds, rows.photos, rows.spaces, lists]
        self._writer.write_table(self._arrow.table(columns, schema=self._schema))
