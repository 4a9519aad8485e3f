"""What the routes work with, put together once at start and handed to them by `services`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from common.drain import Drain
from common.ledger import Ledger
from common.pending import Pending
from common.settings import GatewaySettings
from common.visits import Visits
from gateway.catalogue import Catalogue
from gateway.closing import Closing
from gateway.creating import Creator
from gateway.deadline import Deadline
from gateway.desk import Desk
from gateway.encoder import EncoderPool
from gateway.enrol import Enroller
from gateway.erasures import Erasures
from gateway.footfall.report import Reporter
from gateway.identify import Identifier
from gateway.leader import Leader
from gateway.members import Members
from gateway.merge import Merger
from gateway.migration import Migrator
from gateway.mover import Mover
from gateway.rekeying import Rekeying
from gateway.resolver import Resolver
from gateway.revise import Reviser
from gateway.sight import Sighter
from gateway.spaces import Spaces
from gateway.view import ClusterView


@dataclass(frozen=True, slots=True)
class Services:
    settings: GatewaySettings
    view: ClusterView
    ledger: Ledger
    catalogue: Catalogue
    creator: Creator
    enroller: Enroller
    identifier: Identifier
    encoder: EncoderPool | None
    spaces: Spaces
    leader: Leader
    mover: Mover
    migrator: Migrator
    erasures: Erasures
    visits: Visits
    pending: Pending
    sighter: Sighter
    resolver: Resolver
    reviser: Reviser
    members: Members
    rekeying: Rekeying
    closing: Closing
    reporter: Reporter
    merger: Merger
    desk: Desk
    drain: Drain


def services_of(request: Request) -> Services:
    found: Services = request.app.state.services
    return found


async def services(request: Request) -> Services:  # async: FastAPI would run a plain function on a thread
    return services_of(request)


Found = Annotated[Services, Depends(services)]


async def deadline(request: Request) -> AsyncIterator[Deadline]:
    """The request's deadline; the route's work runs inside it."""
    async with Deadline((await services(request)).settings.deadline_s) as running:
        yield running


# "function": over when the answer is made. A client that is slow to read it cannot make it a problem any more.
Limit = Annotated[Deadline, Depends(deadline, scope="function")]
