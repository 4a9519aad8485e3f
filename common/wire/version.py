"""Waiting for a version: how a write's caller learns that replicas serve it."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import ormsgpack

from common.errors import MalformedBody, ShardGarbage
from common.wire.reading import UNREADABLE, as_text


@dataclass(frozen=True, slots=True)
class AwaitCall:
    """Asks a replica to answer once it has applied `version` of the store, or when the time is over."""

    store: str
    incarnation: str
    version: int
    remaining_ms: int


def pack_await(call: AwaitCall) -> bytes:
    return ormsgpack.packb(asdict(call))


def unpack_await(raw: bytes) -> AwaitCall:
    """Raises MalformedBody saying what is wrong."""
    try:
        body = ormsgpack.unpackb(raw)
        return AwaitCall(
            as_text(body["store"]), as_text(body["incarnation"]), int(body["version"]), int(body["remaining_ms"])
        )
    except UNREADABLE as error:
        raise MalformedBody(f"Not an await call: {type(error).__name__}: {error}.", field="body") from error


def pack_version(version: int) -> bytes:
    return ormsgpack.packb(version)


def unpack_version(raw: bytes) -> int:
    """Raises ShardGarbage if it is no version."""
    try:
        return int(ormsgpack.unpackb(raw))
    except UNREADABLE as error:
        raise ShardGarbage("A shard's answer is no version.") from error
