"""The stores that a query is about, as those keep them who ask about the same ones again and again, or are asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache

import ormsgpack

from common.types import StoreView

MANY = 16
"""stores, of which the mapping is worth remembering"""
REMEMBERED = 8
LONGEST = 1_000_000
"""bytes; those of 20,000 stores"""


class Scope(dict[str, str]):
    """store → incarnation, and never changed: what calls about the same stores have in common is worked out once.

    While a shard has nothing new to say of them its answers hold the same bytes, and are read as the very same object:
    who asks again sees at a glance, by identity, that nothing has changed.
    """

    said: tuple[Sequence[bytes], Mapping[str, StoreView]] | None = None
    """the last answer about these stores, as it came and as it was read"""

    @cached_property
    def packed(self) -> ormsgpack.Fragment | bytes:
        """As a call has it: a mapping, or where there are many stores the bytes of one, which `scope_of` reads."""
        raw = ormsgpack.packb(dict(self))
        return raw if len(self) >= MANY else ormsgpack.Fragment(raw)

    @cached_property
    def names(self) -> Sequence[str]:
        return tuple(self)


def scope_of(raw: bytes) -> Scope:
    """What the bytes say, as the same object for as long as they are the same: to read a thousand stores, and to look
    them up, takes longer than to search them for one probe by codes. Raises one of `reading.UNREADABLE`."""
    return _remembered(raw) if len(raw) <= LONGEST else _read(raw)


def _read(raw: bytes) -> Scope:
    return Scope(checked(ormsgpack.unpackb(raw)))


_remembered = lru_cache(REMEMBERED)(_read)


def checked(stores: dict[str, str]) -> dict[str, str]:
    """Raises one of `reading.UNREADABLE` for what is no mapping of texts."""
    "".join(stores)  # all at once: there may be a thousand
    "".join(stores.values())
    return stores


class Views(dict[str, StoreView]):
    """store → view, and never changed: how far a shard has the stores that it is asked about. Until it has something
    new of them, answers about them say it in the same bytes."""

    told: tuple[Sequence[str], Mapping[str, int], Sequence[bytes]] | None = None
    """to the last query about them: its stores in their order, the place of each, and the bytes"""
