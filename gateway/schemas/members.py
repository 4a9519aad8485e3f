"""Members: the profile as it is sent and shown, and the faces bound to it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from common.limits import (
    MAX_ATTRIBUTE_VALUE,
    MAX_ATTRIBUTES,
    MAX_DISPLAY_NAME,
    MAX_EXTERNAL_ID,
    MAX_TIER,
    check_attributes,
    check_text,
)
from common.members import MemberCard, Profile
from common.records import FaceRecord
from gateway.schemas import examples
from gateway.schemas.base import at, with_example
from gateway.schemas.faces import FaceAnswer
from gateway.schemas.requests import NAME_SCHEMA, Body

ATTRIBUTES_SCHEMA: dict[str, JsonValue] = {
    "maxProperties": MAX_ATTRIBUTES,
    "propertyNames": NAME_SCHEMA,
    "additionalProperties": {"type": "string", "maxLength": MAX_ATTRIBUTE_VALUE},
}
"""for the OpenAPI page; `check_attributes` checks"""
SENT: dict[str, JsonValue] = {name: value for name, value in examples.MEMBER_CARD.items() if name != "member_id"}
TIMES = {"created": "2026-11-20T08:00:00Z", "updated": "2026-11-20T09:30:00Z"}


class MemberBody(Body):
    """The whole profile: what is left out is not kept."""

    model_config = ConfigDict(json_schema_extra={"examples": [SENT, {"display_name": "Ada Lovelace"}]})

    display_name: Annotated[str, Field(min_length=1, max_length=MAX_DISPLAY_NAME)]
    tier: Annotated[str, Field(min_length=1, max_length=MAX_TIER)] | None = None
    external_id: Annotated[str, Field(min_length=1, max_length=MAX_EXTERNAL_ID)] | None = Field(
        None, description="The member's number in another system."
    )
    attributes: Annotated[dict[str, str], Field(json_schema_extra=ATTRIBUTES_SCHEMA)] = Field(default_factory=dict)

    def card(self, member_id: str) -> MemberCard:
        """Raises InvalidRequest for text that cannot be shown."""
        return MemberCard(
            member_id,
            check_text("display_name", self.display_name, MAX_DISPLAY_NAME),
            None if self.tier is None else check_text("tier", self.tier, MAX_TIER),
            None if self.external_id is None else check_text("external_id", self.external_id, MAX_EXTERNAL_ID),
            check_attributes(self.attributes),
        )


class CardAnswer(BaseModel):
    model_config = with_example(examples.MEMBER_CARD)
    member_id: str
    display_name: str
    tier: str | None
    external_id: str | None
    attributes: dict[str, str]

    @classmethod
    def of(cls, card: MemberCard) -> CardAnswer:
        return cls(
            member_id=card.member_id,
            display_name=card.display_name,
            tier=card.tier,
            external_id=card.external_id,
            attributes=card.attributes,
        )


class MemberAnswer(CardAnswer):
    model_config = with_example(examples.MEMBER_CARD | TIMES)
    created: datetime
    updated: datetime

    @classmethod
    def profile(cls, profile: Profile) -> MemberAnswer:
        card = CardAnswer.of(profile.card)
        return cls(**card.model_dump(), created=at(profile.created), updated=at(profile.updated))


class MembersAnswer(BaseModel):
    model_config = with_example({"members": [examples.MEMBER_CARD | TIMES], "cursor": "5b1f0c9e-1536"})
    members: list[MemberAnswer]
    cursor: str | None
    """pass it on to get the next page; null at the end"""


class BoundFaceAnswer(FaceAnswer):
    model_config = with_example(examples.FACE | {"store": "vienna-1"})
    store: str

    @classmethod
    def bound(cls, store: str, face_id: str, record: FaceRecord) -> BoundFaceAnswer:
        return cls(**FaceAnswer.of(face_id, record).model_dump(), store=store)


class MemberFacesAnswer(BaseModel):
    model_config = with_example({"faces": [examples.FACE | {"store": "vienna-1"}]})
    faces: list[BoundFaceAnswer]
    """by store and face id"""
