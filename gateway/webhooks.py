"""Webhooks: the leading gateway posts every event to one URL, each store's in order, at least once.

A store's cursor moves when the receiver has answered 2xx, so an event can come twice (a gateway that died, a new
leader) and carries the same `webhook-id` then. One that is not taken is tried again, ever more slowly; after the last
attempt it becomes a dead letter and the next one follows: one event that a receiver cannot digest must not hold up all
that follow. Stores do not wait for each other.

Rejected: a queue of what is to be sent. The store's stream is one, and holds no card of a member.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from common.errors import Conflict, TruthUnavailable, UnknownEvent, WebhookRefused
from common.events import Event, Events
from common.outbox import Outbox
from common.tasks import end
from gateway.checkout import Checkout
from gateway.receiver import Receiver, message_id
from gateway.schemas.events import EventAnswer
from gateway.view import ClusterView

LOOK_S = 0.5
"""between two looks at who leads"""
AT_ONCE = 16
"""posts under way together"""

log = logging.getLogger("facegrid.webhooks")


class Webhooks:
    def __init__(
        self,
        view: ClusterView,
        told: tuple[Events, Outbox],
        checkout: Checkout,
        receiver: Receiver | None,
        wait_s: float = LOOK_S,
    ) -> None:
        """`wait_s` must stay below the socket timeout of the events' client."""
        self._view = view
        self._events, self._outbox = told
        self._checkout = checkout
        self._receiver = receiver
        self._wait_s = wait_s
        self._cursors: dict[str, str] = {}
        self._lanes: dict[str, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def close(self) -> None:
        await self._stop()
        if self._receiver is not None:
            await self._receiver.close()

    async def run(self, leading: Callable[[], bool]) -> None:
        """Post while this gateway leads, until cancelled; ends at once where there is no receiver."""
        if self._receiver is None:
            return
        begun = False
        while True:
            try:
                if not begun:
                    await self._outbox.begin()
                    begun = True
                await (self._turn() if leading() else self._rest())
            except TruthUnavailable as error:
                log.warning("Webhooks wait for Redis: %s", error.detail)
                await asyncio.sleep(self._wait_s)

    async def _rest(self) -> None:
        await self._stop()
        await asyncio.sleep(self._wait_s)

    async def _turn(self) -> None:
        """Begin with the events of the stores that are not under way. Raises TruthUnavailable."""
        self._lanes = {store: task for store, task in self._lanes.items() if not task.done()}
        stores = self._view.stores.keys()
        new = [store for store in stores if store not in self._cursors]
        if new:
            self._cursors |= await self._where(new)
        resting = {store: at for store, at in self._cursors.items() if store in stores and store not in self._lanes}
        if not resting:
            await asyncio.sleep(self._wait_s)
            return
        for store, events in (await self._events.wait(resting, self._wait_s)).items():
            self._lanes[store] = asyncio.create_task(self._lane(store, events))

    async def _where(self, stores: list[str]) -> dict[str, str]:
        cursors = await self._outbox.cursors(stores)
        for store, position in cursors.items():
            if (await self._events.resume(store, position)).gap:
                log.warning("Events of store %s may have been trimmed before the webhook was told", store)
        return cursors

    async def _stop(self) -> None:
        """Another leads: what is under way is left to it."""
        lanes, self._lanes, self._cursors = self._lanes, {}, {}
        for task in lanes.values():
            await end(task)

    async def _lane(self, store: str, events: list[Event]) -> None:
        """Post one store's events in order until there are no more, or Redis is away (the next turn goes on then)."""
        try:
            while events:
                for event in events:
                    await self._deliver(store, event)
                    await self._outbox.move(store, event.id)
                    self._cursors[store] = event.id
                events = await self._events.after(store, self._cursors[store])
        except TruthUnavailable as error:
            log.warning("Webhooks of store %s wait for Redis: %s", store, error.detail)

    async def _deliver(self, store: str, event: Event) -> None:
        """Until it is taken, or a dead letter. Raises TruthUnavailable."""
        receiver = self._receiver_there()
        for attempt in range(1, receiver.attempts + 1):
            async with self._slots:
                failure = await self._post(receiver, store, event)
            if not failure:
                return
            log.warning("Attempt %d to post an event of store %s: %s", attempt, store, failure)
            if attempt < receiver.attempts:
                await asyncio.sleep(receiver.pause_s(attempt))
        await self._outbox.bury(store, event.id, failure)

    async def _post(self, receiver: Receiver, store: str, event: Event) -> str:
        """Why it was not taken. Made up anew for each attempt: the face may have been erased since the last."""
        (told,) = await self._checkout.tell(store, [event])
        body = EventAnswer.of(told).model_dump_json().encode()
        return await receiver.post(message_id(store, event.id), body)

    def _receiver_there(self) -> Receiver:
        if self._receiver is None:
            raise Conflict("No webhook is set; FACEGRID_WEBHOOK_URL names one.")
        return self._receiver

    async def retry(self, letter_id: str) -> None:
        """Post a dead letter's event once more, and drop the letter if it is taken.

        Raises UnknownEvent (no such letter, or its event is kept no more), WebhookRefused, Conflict, TruthUnavailable.
        """
        letter = await self._outbox.letter(letter_id)
        if letter is None:
            raise unknown_letter(letter_id)
        receiver = self._receiver_there()
        event = await self._events.get(letter.store, letter.event_id)
        if event is None:
            raise UnknownEvent("The event is kept no more; DELETE its letter.", field="letter_id")
        if failure := await self._post(receiver, letter.store, event):
            raise WebhookRefused(f"The webhook's receiver did not take the event: {failure}.")
        await self._outbox.drop(letter_id)


def unknown_letter(letter_id: str) -> UnknownEvent:
    return UnknownEvent(f"There is no dead letter {letter_id} (any more).", field="letter_id")
