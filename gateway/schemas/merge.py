"""Faces that are one person, faces that are two, and the templates that show it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator

from common.ledger import StoredFace
from common.limits import MAX_TEMPLATES
from common.records import unpack_vectors
from gateway.erasures import Receipt
from gateway.merge import Merged, Split
from gateway.schemas import examples
from gateway.schemas.base import at, with_example
from gateway.schemas.faces import RECEIPT, ErasureAnswer, FaceAnswer
from gateway.schemas.requests import Body, Name
from gateway.track import scores

INTO: dict[str, JsonValue] = {"store": "vienna-1", "face_id": "ada"}
FROM: dict[str, JsonValue] = {"store": "graz-1", "face_id": "5f0c"}


class FaceName(Body):
    model_config = with_example(INTO)
    store: Name
    face_id: Name


class MergeBody(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"into": INTO, "from": FROM}]})

    into: FaceName = Field(description="Stays, with the templates, the visits and the member of both.")
    gone: FaceName = Field(alias="from", description="Is erased; its visits become the other's.")


class MergeAnswer(FaceAnswer):
    model_config = with_example(
        examples.FACE
        | {
            "store": "vienna-1",
            "version": 14,
            "visible": True,
            "merged": FROM,
            "erasure": RECEIPT | {"store": "graz-1"},
        }
    )
    store: str
    version: int
    """of the store, with both in one"""
    visible: bool
    """every live replica that has loaded serves it so, and none serves the other any more"""
    merged: FaceName
    """the face that is gone"""
    erasure: ErasureAnswer
    """its receipt"""

    @classmethod
    def of_merge(cls, into: FaceName, gone: FaceName, done: Merged, receipt: Receipt, *, visible: bool) -> MergeAnswer:
        return cls(
            **FaceAnswer.of(into.face_id, done.record).model_dump(),
            store=into.store,
            version=done.version,
            visible=visible and receipt.visible,
            merged=gone,
            erasure=ErasureAnswer.of(receipt),
        )


class TemplateAnswer(BaseModel):
    index: int
    score: float
    """against the face's row, the mean of all its templates"""
    score_of_others: float | None
    """against the mean of the other templates; null: there is no other"""


class TemplatesAnswer(BaseModel):
    model_config = with_example(
        {
            "store": "vienna-1",
            "face_id": "ada",
            "updated": "2026-11-20T09:30:00Z",
            "templates": [
                {"index": 0, "score": 0.9821, "score_of_others": 0.9512},
                {"index": 1, "score": 0.9204, "score_of_others": 0.8377},
                {"index": 2, "score": 0.9817, "score_of_others": 0.9498},
            ],
        }
    )
    store: str
    face_id: str
    updated: datetime
    """of the face; send it with a split, which is refused then if the face has changed"""
    templates: list[TemplateAnswer]
    """oldest first; the one that does not belong scores lowest"""

    @classmethod
    def of(cls, store: str, face_id: str, face: StoredFace) -> TemplatesAnswer:
        rows = unpack_vectors(face.templates, len(face.record.row))
        others: list[float | None] = [*scores(rows)] if len(rows) > 1 else [None] * len(rows)
        against_row = (rows @ face.record.row).tolist()
        listed = [
            TemplateAnswer(index=index, score=round(score, 4), score_of_others=other)
            for index, (score, other) in enumerate(zip(against_row, others, strict=True))
        ]
        return cls(store=store, face_id=face_id, updated=at(face.record.updated), templates=listed)


class SplitBody(Body):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"templates": [1], "updated": "2026-11-20T09:30:00Z"}, {"templates": [0, 2]}]}
    )

    templates: list[Annotated[int, Field(ge=0, lt=MAX_TEMPLATES)]] = Field(
        min_length=1,
        max_length=MAX_TEMPLATES,
        json_schema_extra={"uniqueItems": True},
        description="Which templates leave, by their index; one at least has to stay.",
    )
    updated: datetime | None = Field(
        None, description="The face's, as it was listed: FACE_CHANGED if somebody wrote the face since."
    )

    @field_validator("templates")
    @classmethod
    def _each_once(cls, value: list[int]) -> list[int]:
        if len(set(value)) < len(value):
            raise ValueError("each index may be named once")
        return value


class SplitAnswer(BaseModel):
    model_config = with_example(
        {
            "store": "vienna-1",
            "version": 16,
            "visible": True,
            "face": examples.FACE | {"templates": 2},
            "new": examples.FACE | {"face_id": "5f0c", "kind": "visitor", "labels": {}, "templates": 1},
        }
    )
    store: str
    version: int
    visible: bool
    """every live replica that has loaded serves both so"""
    face: FaceAnswer
    """with the templates that stayed"""
    new: FaceAnswer
    """the visitor who has the others now"""

    @classmethod
    def of(cls, store: str, face_id: str, done: Split, *, visible: bool) -> SplitAnswer:
        return cls(
            store=store,
            version=done.version,
            visible=visible,
            face=FaceAnswer.of(face_id, done.record),
            new=FaceAnswer.of(done.new_id, done.new),
        )
