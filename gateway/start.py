"""Putting a gateway together: everything it works with is made here, once, from its settings, Redis and the transport.

Duties are what only the leading gateway does; every gateway runs their loops, and one at a time does something in them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from uuid import uuid4

from redis.asyncio import Redis

from common.cluster_map import ClusterMap
from common.drain import Drain
from common.durability import durability_lacks
from common.errors import TruthUnavailable
from common.events import Events
from common.expiry import Expiry
from common.lease import Lease
from common.ledger import Ledger
from common.members import MemberBook
from common.migrations import Migrations
from common.outbox import Outbox
from common.pending import Pending
from common.persons import Persons
from common.rekeys import Rekeys
from common.rollups import Rollups
from common.settings import GatewaySettings
from common.tasks import end
from common.visits import Visits
from gateway.catalogue import Catalogue
from gateway.checkout import Checkout
from gateway.closing import Closing
from gateway.creating import Creator
from gateway.desk import Desk
from gateway.encoder import EncoderPool
from gateway.enrol import Enroller
from gateway.erasures import Erasures
from gateway.flips import Flips
from gateway.footfall.reading import Reader
from gateway.footfall.report import Reporter
from gateway.footfall.rollup import RollUp
from gateway.footfall.sources import Sources
from gateway.identify import Identifier
from gateway.leader import Leader, Reach
from gateway.members import Members
from gateway.merge import Holders, Merger
from gateway.migration import Migrator, Stored
from gateway.mover import Mover
from gateway.present import Presence
from gateway.receiver import Receiver
from gateway.rekeying import LATE_S, Rekeying, Truths
from gateway.replica_set import ReplicaSet
from gateway.resolver import Resolver
from gateway.retention import Retention
from gateway.revise import Reviser
from gateway.router import Router
from gateway.services import Services
from gateway.shard_client import ShardClient
from gateway.sight import Kept, Sighter
from gateway.spaces import Spaces
from gateway.tail import Tail
from gateway.transport import SocketTransport, Transport
from gateway.unnaming import Traces, Unnaming
from gateway.view import ClusterView
from gateway.webhooks import Webhooks

log = logging.getLogger("facegrid.gateway")


@dataclass(frozen=True, slots=True)
class Given:
    """What a gateway is started with; `stack` ends what was begun, last begun first."""

    settings: GatewaySettings
    redis: Redis
    drain: Drain
    stack: contextlib.AsyncExitStack
    spaces: Spaces

    def run(self, loop: Coroutine[None, None, None]) -> None:
        """Run it beside the requests until the gateway ends."""
        self.stack.push_async_callback(end, asyncio.create_task(loop))


@dataclass(frozen=True, slots=True)
class Truth:
    """The owners of what is in Redis."""

    cluster_map: ClusterMap
    ledger: Ledger
    visits: Visits
    pending: Pending
    rollups: Rollups
    events: Events
    outbox: Outbox
    book: MemberBook
    persons: Persons
    rekeys: Rekeys
    migrations: Migrations

    @classmethod
    def of(cls, given: Given) -> Truth:
        redis = given.redis
        return cls(
            cluster_map=ClusterMap(redis),
            ledger=Ledger(redis, given.settings.feed_length),
            visits=Visits(redis),
            pending=Pending(redis, given.settings.pending_limit),
            rollups=Rollups(redis),
            events=Events(redis),
            outbox=Outbox(redis),
            book=MemberBook(redis),
            persons=Persons(redis),
            rekeys=Rekeys(redis),
            migrations=Migrations(redis),
        )


async def start(given: Given, transport: Transport | None) -> Services:
    """All of it, running. Without a transport: the one over sockets."""
    settings, stack = given.settings, given.stack
    lane = SocketTransport() if transport is None else transport
    stack.push_async_callback(lane.close)
    encoder = await stack.enter_async_context(EncoderPool(settings)) if settings.encoder_workers else None
    truth = Truth.of(given)
    view = await _view(given, truth)
    client = ShardClient(lane, settings.cluster_key)
    leader = _leader(given, truth, view, client)
    replica_set = ReplicaSet(client, settings.shard_timeout_s)
    router = Router(view, replica_set)
    identifier = Identifier(view, router, given.spaces, settings.target_fpir)
    sighter = Sighter(view, router, identifier, Kept(truth.ledger, truth.visits, truth.pending, truth.rekeys))
    stack.push_async_callback(sighter.settled)
    reviser = Reviser(truth.ledger, router)
    members = Members(truth.book, truth.ledger, reviser, view)
    rekeying = _rekeying(truth, view, members, given.spaces, settings.deadline_s)
    creator = Creator(truth.ledger, rekeying.at_once)
    catalogue = Catalogue(truth.cluster_map, truth.ledger, view, given.spaces)
    reader = Reader(view, truth.visits, truth.persons, truth.book)
    resolver = Resolver(view, truth.pending, sighter, settings.deadline_s)
    retention = Retention(view, truth.ledger, Expiry(given.redis), rekeying, settings.visit_days)
    roll_up = RollUp(view, reader, (truth.visits, truth.pending, truth.rollups), settings.visit_days)
    flips = Flips(truth.cluster_map, truth.migrations, view)
    for duty in (resolver, retention, roll_up, flips):
        given.run(duty.run(lambda: leader.leading))
    return Services(
        settings=settings,
        view=view,
        ledger=truth.ledger,
        catalogue=catalogue,
        creator=creator,
        enroller=Enroller(truth.ledger, creator, router),
        identifier=identifier,
        encoder=encoder,
        spaces=given.spaces,
        leader=leader,
        mover=Mover(truth.cluster_map, truth.ledger, view),
        migrator=Migrator(Stored(flips, truth.ledger, truth.migrations), view, router, given.spaces, encoder),
        erasures=Erasures(view, truth.ledger, replica_set),
        visits=truth.visits,
        pending=truth.pending,
        sighter=sighter,
        resolver=resolver,
        reviser=reviser,
        members=members,
        rekeying=rekeying,
        closing=Closing(truth.ledger, truth.rekeys, rekeying, catalogue),
        reporter=Reporter(view, Sources(truth.visits, truth.pending, truth.rollups, reader)),
        merger=Merger(Holders(truth.ledger, truth.rekeys, truth.book), rekeying),
        desk=_desk(given, truth, view, members, leader),
        drain=given.drain,
    )


async def _view(given: Given, truth: Truth) -> ClusterView:
    settings = given.settings
    view = ClusterView(truth.cluster_map, min(settings.view_refresh_s, settings.redis_timeout_s / 2))
    with contextlib.suppress(TruthUnavailable):  # /readyz says so until Redis is there
        await view.refresh()
    if lacks := await durability_lacks(given.redis):
        log.warning("Redis may lose faces that it confirmed: %s. See deploy/redis.conf.", lacks)
    given.run(view.run())
    return view


def _leader(given: Given, truth: Truth, view: ClusterView, client: ShardClient) -> Leader:
    lease = Lease(given.redis, uuid4().hex)
    leader = Leader(lease, Reach(truth.cluster_map, truth.ledger, view, client), given.settings)
    given.stack.push_async_callback(leader.release)
    given.run(leader.run())
    return leader


def _rekeying(truth: Truth, view: ClusterView, members: Members, spaces: Spaces, deadline_s: float) -> Rekeying:
    unnaming = Unnaming(view, Traces(truth.events, truth.pending, truth.visits, truth.rekeys), spaces)
    truths = Truths(truth.ledger, truth.rekeys, truth.visits, unnaming, members)
    return Rekeying(view, truths, late_s=max(LATE_S, 2 * deadline_s))


def _desk(given: Given, truth: Truth, view: ClusterView, members: Members, leader: Leader) -> Desk:
    """What the checkout is told, by streams and by the webhook."""
    checkout = Checkout(truth.persons, members.cards)
    wait_s = min(0.5, given.settings.redis_timeout_s / 2)
    desk = Desk(
        events=truth.events,
        outbox=truth.outbox,
        tail=Tail(truth.events, wait_s),
        checkout=checkout,
        presence=Presence(truth.visits, truth.persons, checkout),
        webhooks=Webhooks(view, (truth.events, truth.outbox), checkout, Receiver.of(given.settings), wait_s),
    )
    given.drain.at_end(desk.tail.close)
    given.stack.push_async_callback(desk.webhooks.close)
    given.run(desk.tail.run())
    given.run(desk.webhooks.run(lambda: leader.leading))
    return desk
