"""The bounds on everything that comes from outside, in one place. Errors name the field and the bound from here."""

from __future__ import annotations

import re

from common.errors import InvalidRequest

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
NAME_RULE = "1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit"

MAX_LABELS = 16
MAX_LABEL_VALUE = 256
MAX_TEMPLATES = 10
MAX_EMBEDDINGS = 64
MAX_PHOTOS = 10
MAX_TOP_K = 100
MAX_PAGE = 1000


def check_name(field: str, value: str) -> str:
    """Return `value` if it is an allowed store name, face id, group, shard or label key, else raise InvalidRequest."""
    if NAME.fullmatch(value) is None:
        raise InvalidRequest(f"{field} must be {NAME_RULE}.", field=field, limit=NAME.pattern)
    return value


def check_labels(labels: dict[str, str]) -> dict[str, str]:
    """Return `labels` if their number, keys and values are within the bounds; raise InvalidRequest otherwise."""
    if len(labels) > MAX_LABELS:
        raise InvalidRequest(f"At most {MAX_LABELS} labels are allowed.", field="labels", limit=MAX_LABELS)
    for key, value in labels.items():
        check_name("labels", key)
        if len(value) > MAX_LABEL_VALUE or not value.isprintable():
            raise InvalidRequest(
                f"The value of label {key!r} must be at most {MAX_LABEL_VALUE} printable characters.",
                field="labels",
                limit=MAX_LABEL_VALUE,
            )
    return labels


def check_range(field: str, value: float, low: float, high: float) -> None:
    """Raise InvalidRequest unless low <= value <= high (NaN fails)."""
    if not low <= value <= high:
        raise InvalidRequest(f"{field} must be from {low} to {high}, not {value}.", field=field, limit=[low, high])
