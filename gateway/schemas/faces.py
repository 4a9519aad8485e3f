"""Answers about enrolled faces."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel

from common.records import FaceRecord
from common.types import Kind
from gateway.schemas import examples
from gateway.schemas.base import at, with_example


class FaceAnswer(BaseModel):
    model_config = with_example(examples.FACE)
    face_id: str
    kind: Kind
    labels: dict[str, str]
    templates: int
    created: datetime
    updated: datetime
    thumbnail: bool

    @classmethod
    def of(cls, face_id: str, record: FaceRecord) -> FaceAnswer:
        return cls(
            face_id=face_id,
            kind=record.kind,
            labels=record.labels,
            templates=record.templates,
            created=at(record.created),
            updated=at(record.updated),
            thumbnail=record.thumbnail,
        )


class FacesAnswer(BaseModel):
    model_config = with_example({"faces": [examples.FACE], "cursor": "1536"})
    faces: list[FaceAnswer]
    cursor: str | None
    """pass it on to get the next page; null at the end"""


class EnrolAnswer(FaceAnswer):
    model_config = with_example(examples.FACE | {"store": "vienna-1", "new": True, "version": 12, "visible": True})
    store: str
    new: bool
    """false: the face was there and got templates"""
    version: int
    """of the store after this write"""
    visible: bool
    """every live replica that has loaded serves it already"""


class EraseAnswer(BaseModel):
    model_config = with_example(
        {"store": "vienna-1", "face_id": "ada", "deleted": True, "version": 13, "visible": True}
    )
    store: str
    face_id: str
    deleted: bool
    version: int
    visible: bool
    """no live replica that has loaded serves it any more"""
