"""What the checkout is told of an event: who that is now, and the member's card.

Both are looked up when it is told. So a card that was changed, or a face that was bound or erased after the visit
began, is told as it is now, however late the event is read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from common.events import Event
from common.members import MemberCard
from common.persons import Person, Persons

Cards = Callable[[Iterable[str]], Awaitable[dict[str, MemberCard]]]
"""member ids → cards, best effort: {} where they cannot be had"""


@dataclass(frozen=True, slots=True)
class Told:
    """An event with what is known of its persons; None for one whose face was erased."""

    store: str
    event: Event
    person: Person | None
    was: Person | None
    card: MemberCard | None


class Checkout:
    def __init__(self, persons: Persons, cards: Cards) -> None:
        self._persons = persons
        self._cards = cards

    async def tell(self, store: str, events: Sequence[Event]) -> list[Told]:
        """The events in their order. Raises TruthUnavailable: an event told without its person would not be told
        again."""
        found = await self._persons.find({key for event in events for key in (event.person, event.was) if key})
        cards = await self.cards(found.values())
        return [
            Told(
                store,
                event,
                person := found.get(event.person),
                found.get(event.was),
                None if person is None or person.member_id is None else cards.get(person.member_id),
            )
            for event in events
        ]

    async def cards(self, persons: Iterable[Person]) -> dict[str, MemberCard]:
        """Member id → card of those among the persons who are members."""
        wanted = {person.member_id for person in persons if person.member_id is not None}
        return await self._cards(wanted) if wanted else {}
