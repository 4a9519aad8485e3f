"""What all answers share: times are RFC 3339 in UTC, and every shape carries an example for the OpenAPI page."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

TruthState = Literal["ok", "unreachable"]


def with_example(value: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [value]})


def at(unix_seconds: float) -> datetime:
    return datetime.fromtimestamp(unix_seconds, UTC)


class Health(BaseModel):
    model_config = with_example({"status": "ok"})
    status: Literal["ok", "ready"]


class ProblemAnswer(BaseModel):
    """RFC 9457. `field` and `limit` name what was wrong with the input; some codes add fields of their own."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:facegrid:problem:unknown-store",
                    "title": "The store does not exist",
                    "status": 404,
                    "detail": "Store graz-9 does not exist; PUT /v1/stores/graz-9 creates it.",
                    "code": "UNKNOWN_STORE",
                    "field": "store",
                }
            ]
        },
    )
    type: str
    title: str
    status: int
    detail: str
    code: str
    field: str | None = None
    limit: Any = None
