"""What the routes work with, put together once at start and handed to them by `services`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from fastapi import Request

from common.ledger import Ledger
from common.settings import GatewaySettings
from gateway.catalogue import Catalogue
from gateway.deadline import Deadline
from gateway.encoder import EncoderPool
from gateway.enrol import Enroller
from gateway.identify import Identifier
from gateway.view import ClusterView


@dataclass(frozen=True, slots=True)
class Services:
    settings: GatewaySettings
    view: ClusterView
    ledger: Ledger
    catalogue: Catalogue
    enroller: Enroller
    identifier: Identifier
    encoder: EncoderPool | None


def services(request: Request) -> Services:
    found: Services = request.app.state.services
    return found


async def deadline(request: Request) -> AsyncIterator[Deadline]:
    """The request's deadline; the route's work runs inside it."""
    async with Deadline(services(request).settings.deadline_s) as running:
        yield running
