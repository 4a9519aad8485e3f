"""Which creation of a store something belongs to, and how visits name persons by it."""

from __future__ import annotations

import secrets

CREATION = 8


def creation(incarnation: str) -> str:
    """The part that stays the same when a store changes its embedding space; created again it has another."""
    return incarnation[:CREATION]


def person_key(store: str, incarnation: str, face_id: str) -> str:
    """How visits name the person that a face belongs to."""
    return f"{store}/{creation(incarnation)}/{face_id}"


def anonymous() -> str:
    """A person key that leads to nobody; `commit.lua` makes it `~m…` for a member and `~s…` for staff."""
    return f"~v{secrets.token_hex(8)}"
