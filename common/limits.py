"""The bounds on everything that comes from outside, in one place. Errors name the field and the bound from here."""

from __future__ import annotations

import re

from common.errors import InvalidRequest

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
NAME_RULE = "1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit"
OWN_NAMES = frozenset({"map", "members"})
"""hash tags of `common.keys` that are no store's"""

MAX_LABELS = 16
MAX_LABEL_VALUE = 256
MAX_TEMPLATES = 10
MAX_BULK = 10_000
"""faces of one bulk enrolment"""
MAX_EMBEDDINGS = 64
MAX_BATCH = 256
"""probes of one batch of searches"""
MAX_PHOTOS = 10
MAX_TOP_K = 100
LEAST_FPIR = 1e-9
MAX_PAGE = 1000
MAX_DISPLAY_NAME = 128
MAX_TIER = 64
MAX_EXTERNAL_ID = 128
MAX_ATTRIBUTES = 32
MAX_ATTRIBUTE_VALUE = 256
MAX_MEMBER_FACES = 256
REENTRY_WINDOW_S = 1800
MIN_REENTRY_WINDOW_S = 60
MAX_REENTRY_WINDOW_S = 43_200
RETENTION_DAYS = 30
MAX_RETENTION_DAYS = 3650
MAX_AHEAD_S = 300
"""how far a camera's clock may be ahead of the gateway's"""
MAX_JSON_BYTES = 131_072
"""of a JSON body, or of a line of JSON, beside its embeddings. Most has a member's profile: 32 attributes of 256
characters, each as two escapes (`\\ud83d\\ude00`), and their keys have 101,000"""
JSON_NUMBER_BYTES = 32
"""of a number of an embedding: 24 at most (-2.2250738585072014e-308), and a comma and some indentation"""
MAX_MISFITS = 1000
"""of a body; of more none is named, for pydantic would make a dict of each. A batch with something wrong in each of its
embeddings has fewer: in an embedding it looks for the first only"""


def json_bytes(numbers: int) -> int:
    """The most that a JSON body, or a line, with so many numbers of embeddings may have.

    Parsing takes up to a hundred times the memory and 0.2 s a megabyte, in which nobody else is served.
    """
    return MAX_JSON_BYTES + numbers * JSON_NUMBER_BYTES


def check_name(field: str, value: str) -> str:
    """Return `value` if it is an allowed store name, face id, group, shard or label key, else raise InvalidRequest."""
    if NAME.fullmatch(value) is None:
        raise InvalidRequest(f"{field} must be {NAME_RULE}.", field=field, limit=NAME.pattern)
    return value


def check_store_name(value: str) -> str:
    """The same for a store that is to be created: two names are those of the cluster's own keys."""
    if check_name("store", value) in OWN_NAMES:
        raise InvalidRequest(f"A store cannot be named {value}.", field="store", limit=sorted(OWN_NAMES))
    return value


def check_labels(labels: dict[str, str]) -> dict[str, str]:
    """Return `labels` if their number, keys and values are within the bounds; raise InvalidRequest otherwise."""
    return _check_pairs("labels", labels, MAX_LABELS, MAX_LABEL_VALUE)


def check_attributes(attributes: dict[str, str]) -> dict[str, str]:
    """The same for what a member's profile holds besides the name."""
    return _check_pairs("attributes", attributes, MAX_ATTRIBUTES, MAX_ATTRIBUTE_VALUE)


def _check_pairs(field: str, pairs: dict[str, str], most: int, longest: int) -> dict[str, str]:
    if len(pairs) > most:
        raise InvalidRequest(f"At most {most} {field} are allowed.", field=field, limit=most)
    for key, value in pairs.items():
        check_name(field, key)
        if len(value) > longest or not value.isprintable():
            raise InvalidRequest(
                f"The value of {key!r} in {field} must be at most {longest} printable characters.",
                field=field,
                limit=longest,
            )
    return pairs


def check_text(field: str, value: str, longest: int) -> str:
    """Return `value` if it says something in at most so many printable characters, else raise InvalidRequest."""
    if not 0 < len(value) <= longest or not value.isprintable() or value.isspace():
        raise InvalidRequest(f"{field} must be 1 to {longest} printable characters.", field=field, limit=longest)
    return value


def check_range(field: str, value: float, low: float, high: float) -> None:
    """Raise InvalidRequest unless low <= value <= high (NaN fails)."""
    if not low <= value <= high:
        raise InvalidRequest(f"{field} must be from {low} to {high}, not {value}.", field=field, limit=[low, high])
