"""Reading the arrays of an npz file that somebody sent, trusting nothing in it.

An npz is a zip of npy files. Nothing is unpacked before its size is known to fit, nothing unpacks to more than it says
(zlib is asked for so many bytes and no more), and nothing is unpickled: the kind of every array is looked at in its
header, before a byte of it is. numpy's own reader allocates what the header claims, so the bytes are read here.
"""

from __future__ import annotations

import io
import math
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from common.errors import BodyTooLarge, InvalidRequest, MalformedBody

Arrays = dict[str, npt.NDArray[Any]]

ENTRY = b"PK\x01\x02"
"""how each entry of a zip's list of contents begins"""
MOST_ENTRIES = 16
"""looked at; by chance the bytes of an embedding look like one"""
WIDEST_NUMBER = 8
"""bytes"""
UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError)
"""what zipfile raises for a damaged, an encrypted, or an exotic file (ValueError: a name that is no UTF-8, a
place before the beginning)"""
NO_HEADER = (ValueError, TypeError, SyntaxError, tokenize.TokenError, RecursionError, MemoryError)
"""what numpy's reading of a header raises for one that is none"""


def read_npz(body: bytes, kinds: Mapping[str, str], most_bytes: int) -> Arrays:
    """The arrays in the file. `kinds`: those that there may be, each with the kinds of numpy's types that it may have.

    Raises MalformedBody, InvalidRequest, and BodyTooLarge where they would have more than `most_bytes` unpacked.
    """
    try:
        if body.count(ENTRY) > MOST_ENTRIES:
            raise MalformedBody("The npz has too many entries.", field="body", limit=len(kinds))
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            entries = _entries(archive, kinds, most_bytes)
            raw = {name: _unpacked(archive, entry) for name, entry in entries.items()}
    except UNREADABLE as error:
        raise MalformedBody(f"The body is no npz: {type(error).__name__}.", field="body") from error
    return {name: _array(name, content, kinds[name]) for name, content in raw.items()}


def _entries(archive: zipfile.ZipFile, kinds: Mapping[str, str], most_bytes: int) -> dict[str, zipfile.ZipInfo]:
    found: dict[str, zipfile.ZipInfo] = {}
    for entry in archive.infolist():
        name = entry.filename.removesuffix(".npy")
        if name not in kinds or name in found:
            raise InvalidRequest(f"The npz may have {', '.join(kinds)}, each once.", field=name[:64], limit=list(kinds))
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise MalformedBody("The npz must be stored or deflated.", field=name, limit=["stored", "deflated"])
        found[name] = entry
    if sum(entry.file_size for entry in found.values()) > most_bytes:
        raise BodyTooLarge(f"Unpacked, the npz may have at most {most_bytes} bytes.", field="body", limit=most_bytes)
    return found


def _unpacked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    with archive.open(entry) as packed:
        content = packed.read(entry.file_size)
        if len(content) != entry.file_size or packed.read(1):
            raise zipfile.BadZipFile("an entry has another size than it says")
    return content


def _array(name: str, content: bytes, kinds: str) -> npt.NDArray[Any]:
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, by_columns, kind = read(stream)
    except NO_HEADER as error:
        raise MalformedBody(f"{name} is no npy array.", field=name) from error
    if kind.kind not in kinds or (kind.kind not in "US" and kind.itemsize > WIDEST_NUMBER):
        raise InvalidRequest(f"{name} must not be of the type {kind}.", field=name, limit=kinds)
    count, at = math.prod(shape), stream.tell()
    if min(shape, default=0) < 0 or kind.itemsize == 0 or count * kind.itemsize != len(content) - at:
        raise MalformedBody(f"{name} has not the size that its header says.", field=name)
    try:
        return np.frombuffer(content, kind, count, at).reshape(shape, order="F" if by_columns else "C")
    except ValueError as error:  # more dimensions than numpy has, or one of them too long beside an empty one
        raise MalformedBody(f"{name} has a shape that no array has.", field=name) from error
