"""A store's change of its embedding space, as it is asked for and answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from common.types import Kind
from gateway.migration import Missing, Progress, State
from gateway.schemas.base import with_example
from gateway.schemas.requests import Body, Name

MISSING: dict[str, Any] = {"face_id": "ada", "kind": "member", "member_id": "c-1042"}


class MigrationBody(Body):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"to": "arcface-r50-v1"}, {"to": "arcface-r50-v1", "leave_behind": True}]}
    )

    to: Name = Field(description="The embedding space; the one that the store has: drop what was staged for another.")
    leave_behind: bool = Field(
        False,
        description="Go on although some faces have no usable thumbnail: they stay, and cannot be found until they are "
        "enrolled again.",
    )


class MissingAnswer(BaseModel):
    model_config = with_example(MISSING)
    face_id: str
    kind: Kind
    member_id: str | None


class MigrationAnswer(BaseModel):
    model_config = with_example(
        {
            "store": "vienna-1",
            "space": "dlib-resnet-v1",
            "to": "arcface-r50-v1",
            "state": "photos_missing",
            "flipped": False,
            "done": 812,
            "left": 0,
            "sightings_waiting": 0,
            "without_thumbnail_count": 240,
            "without_thumbnail": [MISSING],
            "cursor": "5b1f0c9e-96",
        }
    )
    store: str
    space: str
    """that the store has"""
    to: str | None
    """that it is on its way to, or was asked to go to; null: none"""
    state: State
    """staging, flipping: repeat the request; photos_missing: enrol the faces named, or leave them behind;
    sightings_wait: until they are settled"""
    flipped: bool
    """the store is in the space asked for"""
    done: int
    """faces that are ready for the space, or in it; those without a usable thumbnail are among them"""
    left: int
    """faces that are not looked at yet"""
    sightings_waiting: int
    without_thumbnail_count: int
    """faces that would be left behind, or, without a migration on its way, were and have not been enrolled since"""
    without_thumbnail: list[MissingAnswer]
    """about a hundred of them, or as many as asked for"""
    cursor: str | None
    """for the next page of them; null at the end"""

    @classmethod
    def of(cls, progress: Progress, missing: Sequence[Missing], following: str | None) -> MigrationAnswer:
        counts = progress.counts
        return cls(
            store=progress.store.store,
            space=progress.store.space,
            to=progress.to,
            state=progress.state,
            flipped=progress.store.space == progress.to,
            done=counts.staged,
            left=counts.faces - counts.staged,
            sightings_waiting=counts.waiting,
            without_thumbnail_count=counts.to_photograph,
            without_thumbnail=[
                MissingAnswer(face_id=one.face_id, kind=one.kind, member_id=one.member_id) for one in missing
            ],
            cursor=following,
        )
