"""Answers about enrolled faces."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel

from common.records import FaceRecord
from common.types import Kind
from gateway.erasures import Erasure, Receipt
from gateway.revise import Revised
from gateway.schemas import examples
from gateway.schemas.base import at, with_example

RECEIPT: dict[str, Any] = {
    "erasure_id": Erasure("vienna-1", "9f8c", 13).id,
    "store": "vienna-1",
    "version": 13,
    "complete": True,
    "confirmed": ["s1/a", "s1/b"],
    "pending": [],
}


class FaceAnswer(BaseModel):
    model_config = with_example(examples.FACE)
    face_id: str
    kind: Kind
    member_id: str | None
    """the member that the face is bound to"""
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
            member_id=record.member_id,
            labels=record.labels,
            templates=record.templates,
            created=at(record.created),
            updated=at(record.updated),
            thumbnail=record.thumbnail,
        )


class FacesAnswer(BaseModel):
    model_config = with_example({"faces": [examples.FACE], "cursor": "5b1f0c9e-1536"})
    faces: list[FaceAnswer]
    cursor: str | None
    """pass it on to get the next page; null at the end"""


class RevisedAnswer(FaceAnswer):
    model_config = with_example(examples.FACE | {"store": "vienna-1", "version": 13, "visible": True})
    store: str
    version: int
    """of the store; from it on the face is known so"""
    visible: bool
    """every live replica that has loaded serves it so already"""

    @classmethod
    def revised(cls, store: str, face_id: str, done: Revised, *, visible: bool) -> RevisedAnswer:
        face = FaceAnswer.of(face_id, done.record)
        return cls(**face.model_dump(), store=store, version=done.version, visible=visible)


class ErasureAnswer(BaseModel):
    model_config = with_example(RECEIPT)
    erasure_id: str
    """of the receipt; GET /v1/erasures/{erasure_id} until it is complete"""
    store: str
    version: int
    """of the store, without the face"""
    complete: bool
    """no live replica holds the face any more"""
    confirmed: list[str]
    """replicas that have dropped it"""
    pending: list[str]
    """live replicas that have not said so yet"""

    @classmethod
    def of(cls, receipt: Receipt) -> ErasureAnswer:
        return cls(
            erasure_id=receipt.erasure.id,
            store=receipt.erasure.store,
            version=receipt.erasure.version,
            complete=receipt.complete,
            confirmed=receipt.confirmed,
            pending=receipt.pending,
        )


class EraseAnswer(ErasureAnswer):
    model_config = with_example(RECEIPT | {"face_id": "ada", "deleted": True, "visible": True})
    face_id: str
    deleted: bool
    visible: bool
    """no live replica that has loaded serves it any more"""
