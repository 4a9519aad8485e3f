"""`/v1/stores/{store}/events`, `present`, `feedback`: what the checkout sees, and what it says back."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request
from fastapi.responses import StreamingResponse

from common.errors import InvalidRequest, TruthUnavailable, UnknownEvent
from common.events import EVENT_ID, Resumed, order
from gateway.body import JSON, content_type, read_json
from gateway.routes.docs import Responses, StoreName, json_body, problems, request_body
from gateway.schemas.events import (
    EVENT,
    EventAnswer,
    EventOptions,
    FeedbackAnswer,
    FeedbackBody,
    FeedbackOptions,
    FeedbackSummary,
    PresentAnswer,
)
from gateway.services import Found, Limit, Services
from gateway.sse import MEDIA_TYPE, PING, PING_S, EventStream, frame, hello
from gateway.tail import Reader

router = APIRouter(prefix="/v1/stores/{store}", tags=["checkout"])
AWAY_S = 1.0
"""between two looks for a Redis that is away"""
LastEventId = Annotated[
    str | None,
    Header(alias="Last-Event-ID", pattern=f"^{EVENT_ID}$", description="Go on after this event, as browsers do."),
]
EventId = Annotated[str, Path(pattern=f"^{EVENT_ID}$", description="`id` of the event.")]


def _stream() -> Responses:
    example: Any = frame(EVENT["type"], EVENT["id"], EventAnswer.model_validate(EVENT).model_dump_json()).decode()
    text = "`data` is an EventAnswer, the body that webhooks get; `event: gap` has `{}` and says that some are missing."
    return {200: {"content": {MEDIA_TYPE: {"schema": {"type": "string", "description": text}, "example": example}}}}


@router.get(
    "/events",
    summary="Arrivals as they happen (server-sent events)",
    response_class=StreamingResponse,
    responses=_stream() | problems(401, 404, 422, 503),
)
async def events(
    store: StoreName,
    found: Found,
    options: Annotated[EventOptions, Query()],
    last_event_id: LastEventId = None,
) -> EventStream:
    """Ends when the gateway does; come back with the id of the last event, and none is missed or told twice. If those
    after it are kept no more, the first event is a `gap`. A reader that takes nothing for half a minute is let go."""
    home = await found.view.store(store)
    after = options.after if last_event_id is None else last_event_id
    resumed = await found.desk.events.resume(home.store, after)
    return EventStream(_frames(found, home.store, resumed))


async def _frames(found: Services, store: str, resumed: Resumed) -> AsyncGenerator[bytes, None]:
    yield hello(resumed.position)
    if resumed.gap:
        yield frame("gap", resumed.position, "{}")
    with found.desk.tail.reader(store, resumed.position) as reader:
        while not reader.over:
            try:
                frames = await _next(found, store, reader)
            except TruthUnavailable:  # what is kept there is read when it is back
                yield PING
                await reader.pause(AWAY_S)
                continue
            for event_id, sent in frames:
                yield sent
                reader.had(event_id)
            if not frames and not reader.over:
                yield PING


async def _next(found: Services, store: str, reader: Reader) -> list[tuple[str, bytes]]:
    """The next events as frames; none if nothing comes within PING_S."""
    told = await found.desk.checkout.tell(store, await reader.read(PING_S))
    return [(one.event.id, frame(one.event.type, one.event.id, EventAnswer.of(one).model_dump_json())) for one in told]


@router.get("/present", summary="Who is in the store now", responses=problems(401, 404, 503, 504))
async def present(store: StoreName, found: Found, limit: Limit) -> PresentAnswer:  # noqa: ARG001  # it runs inside it
    """Everybody seen within the store's re-entry window; at most 1000 are listed, `total` says how many there are."""
    home = await found.view.store(store)
    now_ms = int(1000 * time.time())
    return PresentAnswer.of(store, now_ms, await found.desk.presence.now(home, now_ms))


@router.post(
    "/events/{event_id}/feedback",
    summary="Say whether the event told the right person",
    responses=problems(400, 401, 404, 413, 415, 422, 503, 504),
    openapi_extra=request_body(json_body(FeedbackBody)),
)
async def judge(store: StoreName, event_id: EventId, request: Request, found: Found, limit: Limit) -> FeedbackAnswer:
    """Changes no face: it is counted, and the last word about an event counts."""
    home = await found.view.store(store)
    content_type(request, [JSON])
    body = await read_json(request, FeedbackBody)
    event = await found.desk.events.get(home.store, event_id)
    if event is None:
        raise UnknownEvent(f"Store {store} has no event {event_id} (any more).", field="event_id")
    if event.type == "new_visitor":
        raise InvalidRequest(
            "This event recognised nobody; only arrivals and corrections can be wrong.", field="event_id"
        )
    limit.waive()
    await found.desk.events.judge(home.store, event.id, correct=body.correct)
    return FeedbackAnswer(store=store, event_id=event.id, correct=body.correct)


@router.get("/feedback", summary="How often the wrong person was told", responses=problems(401, 404, 422, 503))
async def feedback(store: StoreName, found: Found, options: Annotated[FeedbackOptions, Query()]) -> FeedbackSummary:
    home = await found.view.store(store)
    if options.start >= options.end:
        raise InvalidRequest("from must be before to.", field="from", limit="to")
    start, end = (int(1000 * moment.timestamp()) for moment in (options.start, options.end))
    words = await found.desk.events.judged(home.store)
    judged = [correct for event_id, correct in words.items() if start <= order(event_id)[0] < end]
    wrong = judged.count(False)
    rate = wrong / len(judged) if judged else None
    return FeedbackSummary(store=store, events_judged=len(judged), wrong=wrong, false_accept_rate=rate)
