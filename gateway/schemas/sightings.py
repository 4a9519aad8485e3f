"""What a camera sends, and what it is told became of each face."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from common.limits import MAX_EMBEDDINGS
from common.types import Kind, Verdict
from gateway.schemas import examples
from gateway.schemas.base import TruthState, with_example
from gateway.schemas.photo import BoxAnswer
from gateway.schemas.requests import Body, Embedding, Name

AT = "When it was, RFC 3339 with an offset; left out: now. At most 5 minutes ahead, and not before visits are kept."
CAMERA = "Which camera of the store."
RFC_3339 = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]")
TRACK = "Name of a track: all photos or embeddings are of one person, and their mean is searched."


def _as_text(value: object) -> object:
    """RFC 3339 alone: pydantic would take a number, too, for seconds."""
    if not (isinstance(value, str) and RFC_3339.match(value)) and not isinstance(value, datetime):
        raise ValueError("must be RFC 3339, such as 2026-11-20T09:00:00+01:00")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_as_text)]


class SightingFields(BaseModel):
    """Query parameters beside a raw body, form fields beside photos."""

    model_config = ConfigDict(extra="forbid")

    at: Moment | None = Field(None, description=AT)
    camera: Name | None = Field(None, description=CAMERA)
    track: Name | None = Field(None, description=TRACK)


class SightingBody(Body):
    """Without `track` the embeddings are the different faces of one picture."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"embeddings": [examples.EMBEDDING], "at": "2026-11-20T09:00:00+01:00", "camera": "door"},
                {"embeddings": [examples.EMBEDDING, examples.EMBEDDING], "camera": "door", "track": "t17"},
            ]
        }
    )

    embeddings: Annotated[list[Embedding], Field(min_length=1, max_length=MAX_EMBEDDINGS)]
    at: Annotated[Moment, Field(strict=False)] | None = Field(None, description=AT)
    camera: Name | None = Field(None, description=CAMERA)
    track: Name | None = Field(None, description=TRACK)


class VisitAnswer(BaseModel):
    start: datetime
    started: bool
    """this sighting began it"""


class SightedAnswer(BaseModel):
    model_config = with_example(examples.SIGHTED)
    outcome: Literal["counted", "staff", "pending", "rejected"]
    """counted; staff, who are not counted; pending: kept until every store can be searched; rejected: see `reasons`"""
    verdict: Verdict | None
    """null for a rejected face, which was not searched"""
    new: bool
    """the person's first sighting in the group"""
    store: str | None
    """the face's home store"""
    face_id: str | None
    """who it is; of a pending one the best match so far, if there is one"""
    kind: Kind | None
    member_id: str | None
    score: float | None
    """null for somebody enrolled by this sighting"""
    threshold: float | None
    visit: VisitAnswer | None
    reasons: list[str]
    """why the face was rejected"""
    box: BoxAnswer | None
    """where the face is in the photo; null for an embedding or a track"""
    photo: int | None
    """which photo, from 0; null for an embedding or a track"""


class SightingAnswer(BaseModel):
    model_config = with_example(
        {
            "store": "vienna-1",
            "at": "2026-11-20T08:00:00Z",
            "camera": "door",
            "track": "t17",
            "truth": "ok",
            "faces": [examples.SIGHTED],
        }
    )
    store: str
    at: datetime
    camera: str | None
    track: str | None
    truth: TruthState
    faces: list[SightedAnswer]
    """one a face of each photo, photo by photo, largest first; one an embedding; one for a track"""
