"""A line of a bulk enrolment and of an export, and the answer to an enrolment of many."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from common.ledger import StoredFace
from common.limits import MAX_TEMPLATES
from common.records import MOST_PHOTOS, unpack_vectors
from common.types import Kind
from gateway.schemas.base import at, with_example
from gateway.schemas.examples import EMBEDDING
from gateway.schemas.requests import LABELS_SCHEMA, Body, Embedding, Name

IGNORED = "As an export has it; passed over."
LINE: dict[str, JsonValue] = {"face_id": "ada", "embedding": EMBEDDING, "kind": "member", "labels": {"door": "north"}}


class BulkLine(Body):
    """One face. Either `embedding` or `embeddings`; what an export says of it can be sent as it is."""

    model_config = ConfigDict(json_schema_extra={"examples": [LINE]})

    face_id: Name | None = Field(None, description="Left out: made from the embeddings, the same each time.")
    embedding: Embedding | None = None
    embeddings: Annotated[list[Embedding], Field(min_length=1, max_length=MAX_TEMPLATES)] | None = None
    kind: Annotated[Kind, Field(strict=False)] | None = None
    labels: Annotated[dict[str, str], Field(json_schema_extra=LABELS_SCHEMA)] | None = None
    photos: int | None = Field(
        None, ge=1, le=MOST_PHOTOS, description="Behind the embeddings, where one is the mean of several."
    )
    space: Name | None = Field(None, description="The embedding space, which must be the store's; left out: it is.")
    member_id: str | None = Field(None, description=IGNORED + " The members API binds faces.")
    created: str | None = Field(None, description=IGNORED)
    updated: str | None = Field(None, description=IGNORED)

    @model_validator(mode="after")
    def _has_one_of_both(self) -> BulkLine:
        if (self.embedding is None) == (self.embeddings is None):
            raise ValueError("either embedding or embeddings is needed")
        return self

    @property
    def all_embeddings(self) -> list[Embedding]:
        return self.embeddings or ([] if self.embedding is None else [self.embedding])


class BulkAnswer(BaseModel):
    model_config = with_example(
        {
            "store": "vienna-1",
            "faces": 2,
            "created": 1,
            "updated": 0,
            "version": 12,
            "visible": True,
            "face_ids": ["ada", "2f1c1f0f7a3d4b0e9d6c5b4a39281706"],
        }
    )
    store: str
    faces: int
    created: int
    updated: int
    """those that were there and are another way now; the rest was there with all of it"""
    version: int
    """of the store after the last write"""
    visible: bool
    """every live replica that has loaded serves all of it already"""
    face_ids: list[str]
    """in the order in which the faces begin in the body"""


def exported(face_id: str, face: StoredFace) -> bytes:
    """The face as a line of an export. Nine digits are enough to read each float32 again to the bit."""
    record = face.record
    told: dict[str, Any] = {
        "face_id": face_id,
        "kind": record.kind.value,
        "labels": record.labels,
        "member_id": record.member_id,
        "photos": record.photos_behind,
        "space": record.space,
        "created": at(record.created).isoformat(),
        "updated": at(record.updated).isoformat(),
    }
    vectors = unpack_vectors(face.templates, len(record.row))
    numbers = "[" + ",".join(["%.9g"] * len(record.row)) + "]"
    rows = ",".join([numbers % tuple(vector) for vector in vectors.tolist()])
    return f'{json.dumps(told)[:-1]}, "embeddings": [{rows}]}}\n'.encode()
