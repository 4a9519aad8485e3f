"""Reading what a peer sent: every type and length is looked at; what is wrong raises one of `UNREADABLE`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

UNREADABLE = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError)
Item = TypeVar("Item")


def distinct(items: Iterable[Item]) -> tuple[list[Item], list[int]]:
    """The different objects, and which of them each one is."""
    found: dict[int, int] = {}
    distinct: list[Item] = []
    which = []
    for item in items:
        at = found.setdefault(id(item), len(distinct))
        if at == len(distinct):
            distinct.append(item)
        which.append(at)
    return distinct, which


def packed(numbers: npt.ArrayLike, dtype: str) -> bytes:
    return np.asarray(numbers, dtype=dtype).tobytes()


def array(raw: object, dtype: str) -> npt.NDArray[Any]:
    return np.frombuffer(as_bytes(raw), dtype=dtype)


def as_bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError(f"{type(value).__name__} where bytes belong")
    return value


def as_text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} where text belongs")
    return value
