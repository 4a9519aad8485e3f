"""What the checkout is told, and what it says back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from common.events import EVENT_ID
from common.limits import MAX_PAGE
from common.outbox import DeadLetter
from common.persons import Person
from common.types import Kind
from gateway.checkout import Told
from gateway.present import Here, Present
from gateway.schemas import examples
from gateway.schemas.base import at, with_example
from gateway.schemas.members import CardAnswer
from gateway.schemas.requests import Body

FACE: dict[str, Any] = {"store": "graz-1", "face_id": "ada", "kind": "member"}
EVENT: dict[str, Any] = {
    "id": "1795161600123-0",
    "type": "correction",
    "store": "vienna-1",
    "at": "2026-11-20T08:00:00Z",
    "late": False,
    "provisional": False,
    "face": FACE,
    "member": examples.MEMBER_CARD,
    "was": {"store": "vienna-1", "face_id": "9f8c", "kind": "visitor"},
}
FEEDBACK: dict[str, Any] = {"store": "vienna-1", "event_id": EVENT["id"], "correct": False}
DEAD_LETTER: dict[str, Any] = {
    "id": "1795161800456-0",
    "store": "vienna-1",
    "event_id": EVENT["id"],
    "error": "it answered 500",
    "at": "2026-11-20T08:03:20.456Z",
}


class EventOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")

    after: str | None = Field(
        None,
        pattern=f"^{EVENT_ID}$",
        description="Begin after this event, for a client that cannot send Last-Event-ID (which wins); 0: everything "
        "that is kept. Left out: only what is still to come.",
    )


class EventFace(BaseModel):
    store: str
    face_id: str
    kind: Kind

    @classmethod
    def of(cls, person: Person | None) -> EventFace | None:
        return None if person is None else cls(store=person.store, face_id=person.face_id, kind=person.kind)


class EventAnswer(BaseModel):
    """One event: `data` of a server-sent event, and the body of a webhook."""

    model_config = with_example(EVENT)
    id: str
    type: Literal["arrival", "new_visitor", "correction"]
    store: str
    at: datetime
    """when the person was seen"""
    late: bool
    """told more than the re-entry window after that"""
    provisional: bool
    """said before every store could be searched; a correction may follow"""
    face: EventFace | None
    """null: erased meanwhile"""
    member: CardAnswer | None
    """null: no member, or the card cannot be had now"""
    was: EventFace | None
    """a correction: whom an event before it named instead"""

    @classmethod
    def of(cls, told: Told) -> EventAnswer:
        event = told.event
        return cls.model_validate(
            {
                "id": event.id,
                "type": event.type,
                "store": told.store,
                "at": at(event.at_ms / 1000),
                "late": event.late,
                "provisional": event.provisional,
                "face": EventFace.of(told.person),
                "member": None if told.card is None else CardAnswer.of(told.card),
                "was": EventFace.of(told.was),
            }
        )


class HereAnswer(BaseModel):
    face: EventFace | None
    kind: Kind
    member: CardAnswer | None
    since: datetime
    last_seen: datetime

    @classmethod
    def of(cls, here: Here) -> HereAnswer:
        return cls(
            face=EventFace.of(here.person),
            kind=here.kind,
            member=None if here.card is None else CardAnswer.of(here.card),
            since=at(here.since_ms / 1000),
            last_seen=at(here.last_seen_ms / 1000),
        )


class PresentAnswer(BaseModel):
    model_config = with_example(
        {
            "store": "vienna-1",
            "at": "2026-11-20T08:10:00Z",
            "count": 1,
            "total": 1,
            "present": [
                {
                    "face": FACE,
                    "kind": "member",
                    "member": examples.MEMBER_CARD,
                    "since": "2026-11-20T08:00:00Z",
                    "last_seen": "2026-11-20T08:07:30Z",
                }
            ],
        }
    )
    store: str
    at: datetime
    count: int
    """without staff"""
    total: int
    """with staff; `present` may list fewer"""
    present: list[HereAnswer]
    """who came last first"""

    @classmethod
    def of(cls, store: str, now_ms: int, present: Present) -> PresentAnswer:
        here = [HereAnswer.of(one) for one in present.here]
        return cls(store=store, at=at(now_ms / 1000), count=present.count, total=present.total, present=here)


class FeedbackBody(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"correct": False}]})

    correct: bool = Field(description='false: "that\'s not me"')


class FeedbackAnswer(BaseModel):
    model_config = with_example(FEEDBACK)
    store: str
    event_id: str
    correct: bool


class FeedbackOptions(BaseModel):
    """When the events were told, not when somebody was seen."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    start: AwareDatetime = Field(datetime(1970, 1, 1, tzinfo=UTC), alias="from", description="Left out: all.")
    end: AwareDatetime = Field(
        datetime(9999, 12, 31, tzinfo=UTC), alias="to", description="Not this moment itself any more; left out: all."
    )


class FeedbackSummary(BaseModel):
    model_config = with_example({"store": "vienna-1", "events_judged": 40, "wrong": 1, "false_accept_rate": 0.025})
    store: str
    events_judged: int
    wrong: int
    false_accept_rate: float | None
    """of those judged; null while there are none. Who complains judges more often: it is an upper bound in practice."""


class DeadLettersOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")

    cursor: str = Field("0", pattern=f"^{EVENT_ID}$", description="From the page before; left out: the oldest.")
    limit: int = Field(100, ge=1, le=MAX_PAGE, description="At most so many a page.")


class DeadLetterAnswer(BaseModel):
    model_config = with_example(DEAD_LETTER)
    id: str
    store: str
    event_id: str
    error: str
    """of the last attempt"""
    at: datetime
    """when it was given up"""

    @classmethod
    def of(cls, letter: DeadLetter) -> DeadLetterAnswer:
        return cls(
            id=letter.id,
            store=letter.store,
            event_id=letter.event_id,
            error=letter.error,
            at=at(letter.at_ms / 1000),
        )


class DeadLettersAnswer(BaseModel):
    model_config = with_example({"dead_letters": [DEAD_LETTER], "cursor": DEAD_LETTER["id"]})
    dead_letters: list[DeadLetterAnswer]
    """the oldest first"""
    cursor: str | None
    """pass it on to get the next page; null at the end"""
