"""`/v1/webhooks/dead-letters`: events that the webhook's receiver did not take. And what it is sent, for the page."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from common.events import EVENT_ID
from gateway.routes.docs import problems
from gateway.schemas.events import DeadLetterAnswer, DeadLettersAnswer, DeadLettersOptions, EventAnswer
from gateway.services import Found
from gateway.webhooks import unknown_letter

router = APIRouter(prefix="/v1/webhooks/dead-letters", tags=["checkout"])
described = APIRouter(tags=["checkout"])
LetterId = Annotated[str, Path(pattern=f"^{EVENT_ID}$", description="`id` of the dead letter.")]


@router.get("", summary="Events that the webhook's receiver did not take", responses=problems(401, 422, 503))
async def list_letters(found: Found, options: Annotated[DeadLettersOptions, Query()]) -> DeadLettersAnswer:
    """About the last 10,000; who an event was about is not in them."""
    letters = await found.desk.outbox.letters(options.cursor, options.limit)
    cursor = letters[-1].id if len(letters) == options.limit else None
    return DeadLettersAnswer(dead_letters=[DeadLetterAnswer.of(letter) for letter in letters], cursor=cursor)


@router.post(
    "/{letter_id}/retry",
    summary="Post the event once more",
    status_code=204,
    responses=problems(401, 404, 409, 422, 503),
)
async def retry(letter_id: LetterId, found: Found) -> None:
    """The letter is dropped if the receiver takes the event now."""
    await found.desk.webhooks.retry(letter_id)


@router.delete("/{letter_id}", summary="Drop a dead letter", status_code=204, responses=problems(401, 404, 422, 503))
async def drop(letter_id: LetterId, found: Found) -> None:
    if not await found.desk.outbox.drop(letter_id):
        raise unknown_letter(letter_id)


@described.post("event", summary="One event, posted to FACEGRID_WEBHOOK_URL", status_code=204)
async def event(event: EventAnswer) -> None:
    """Signed after the Standard Webhooks convention: `webhook-signature` is `v1,` and the base64 of the HMAC-SHA256 of
    `webhook-id.webhook-timestamp.body`. Any 2xx takes it; it can come twice, with the same `webhook-id` then."""
