"""What the checkout's routes work with."""

from __future__ import annotations

from dataclasses import dataclass

from common.events import Events
from common.outbox import Outbox
from gateway.checkout import Checkout
from gateway.present import Presence
from gateway.tail import Tail
from gateway.webhooks import Webhooks


@dataclass(frozen=True, slots=True)
class Desk:
    events: Events
    outbox: Outbox
    tail: Tail
    checkout: Checkout
    presence: Presence
    webhooks: Webhooks
