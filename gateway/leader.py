"""The leader's loop. Every gateway runs one; one at a time holds the lease, and it alone changes where stores are.

It looks (map, heartbeats, orders), decides (`decisions`, pure), and carries the steps out, each a compare-and-set with
the lease's token: one that was stopped and wakes up after another took over cannot write, whatever it had decided.
While Redis is away nobody leads and nothing is declared dead; afterwards every shard has the whole `dead_after` again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass

from common.cluster_map import ClusterMap, Heartbeat, StoreConfig
from common.errors import Conflict, LeaseLost, ShardFault, TruthUnavailable
from common.lease import Lease
from common.ledger import Ledger
from common.settings import GatewaySettings
from common.types import ReplicaState
from common.wire import AwaitCall
from gateway.decisions import Change, Look, Step, decide, stage, stranded
from gateway.duty import in_turns
from gateway.patience import Absences, Unchanged
from gateway.shard_client import ShardClient
from gateway.view import ClusterView

LONGEST_PAUSE_S = 1.0
BUSY_PAUSE_S = 0.2
"""between two looks while stores are on their way"""

log = logging.getLogger("facegrid.leader")


@dataclass(frozen=True, slots=True)
class Reach:
    """What a leader reads and writes."""

    cluster_map: ClusterMap
    ledger: Ledger
    view: ClusterView
    client: ShardClient


class Leader:
    def __init__(self, lease: Lease, reach: Reach, settings: GatewaySettings) -> None:
        self._lease = lease
        self._reach = reach
        self._lease_s = settings.lease_s
        self._dead_after_s = settings.dead_after_s
        # Also the heartbeats must have reached every gateway: they are read every `view_refresh_s`.
        self._grace_s = max(settings.move_grace_s, 2 * settings.view_refresh_s)
        self._token: str | None = None
        self._forget()

    @property
    def leading(self) -> bool:
        return self._token is not None

    def _forget(self) -> None:
        self._absences = Absences(self._lease_s)
        self._unchanged = Unchanged()
        self.dead: frozenset[str] = frozenset()
        """shards declared dead, as far as this gateway leads"""
        self.stranded: list[str] = []
        """those whose stores nobody takes"""

    async def run(self) -> None:
        """Lead whenever the lease is free, until cancelled."""
        longest_s = min(self._lease_s / 3, LONGEST_PAUSE_S)

        async def turn() -> float:
            try:
                return min(longest_s, BUSY_PAUSE_S) if await self.turn() else longest_s
            except (TruthUnavailable, LeaseLost) as error:
                self._lead(None, error.detail)
                return longest_s

        await in_turns("Leading", turn, lambda: True, longest_s)

    async def release(self) -> None:
        """Let another lead at once, if this gateway leads."""
        if self._token is None:
            return
        try:
            await self._lease.release()
        except TruthUnavailable as error:
            log.warning("The lease is left to expire. %s", error.detail)
        self._lead(None, "This gateway ends.")

    async def turn(self) -> bool:
        """Take or keep the lease and, with it, look and act once. True while stores are on their way.

        Raises TruthUnavailable, LeaseLost.
        """
        token = await self._lease.hold(self._lease_s)
        if token != self._token:
            self._lead(token, "Another gateway leads.")
        if token is None:
            return False
        look = await self._look()
        steps = decide(look)
        await self._carry_out(steps, token)
        return bool(steps or look.orders.moves) or any(c.moving_to or c.moving_from for c in look.stores.values())

    def _lead(self, token: str | None, why: str) -> None:
        if token is not None:
            log.info("This gateway leads (%s)", token.partition(":")[0])
        elif self._token is not None:
            log.warning("This gateway leads no more. %s", why)
        self._token = token
        self._forget()

    async def _look(self) -> Look:
        view = self._reach.view
        await view.refresh()
        stores, shards, orders = view.stores, view.shards, view.orders
        now = time.monotonic()
        expected = {shard for config in stores.values() for shard in config.served_by} | set(orders.moves.values())
        absent = self._absences.look(expected, shards.keys(), now)
        moving = {s: stage(c, shards) for s, c in stores.items() if c.moving_to or c.moving_from}
        lasted = self._unchanged.look(moving, now)
        self._note_dead(frozenset(shard for shard, seconds in absent.items() if seconds >= self._dead_after_s))
        settled = {store for store, seconds in lasted.items() if seconds >= self._grace_s}
        faces = await self._reach.ledger.counts(list(stores)) if self.dead or orders.draining else {}
        look = Look(stores, shards, orders, self.dead, settled, faces)
        self.stranded = stranded(look)
        return look

    def _note_dead(self, dead: frozenset[str]) -> None:
        for shard in sorted(dead - self.dead):
            log.warning("Shard %s has had no live replica for %g s and counts as dead", shard, self._dead_after_s)
        for shard in sorted(self.dead - dead):
            log.info("Shard %s is no longer counted as dead", shard)
        self.dead = dead

    async def _carry_out(self, steps: list[Step], token: str) -> None:
        """Raises LeaseLost, TruthUnavailable; a step that somebody else's change has overtaken is left to the next
        look."""
        confirmed = await asyncio.gather(*(self._is_confirmed(step) for step in steps))
        for step, sure in zip(steps, confirmed, strict=True):
            if not sure:
                continue
            try:
                if isinstance(step, Change):
                    await self._reach.cluster_map.update(step.present, step.new, token)
                else:
                    await self._reach.cluster_map.order_done(step.store, step.shard, token)
            except LeaseLost:
                raise
            except Conflict:
                continue
            log.info("%s", step.why)

    async def _is_confirmed(self, step: Step) -> bool:
        """Whether every ready replica has all that is committed. Read after their heartbeats: what is written later
        waits for them too."""
        if not isinstance(step, Change) or not step.confirm:
            return True
        config = step.new
        version = await self._reach.ledger.version(config.store)
        beats = [b for b in self._reach.view.shards.get(config.shard, ()) if b.state is ReplicaState.READY]
        return all(await asyncio.gather(*(self._has(beat, config, version) for beat in beats)))

    async def _has(self, beat: Heartbeat, config: StoreConfig, version: int) -> bool:
        longest_ms = max(1, int(1000 * min(1.0, self._lease_s / 3)))
        call = AwaitCall(config.store, config.incarnation, version, longest_ms)
        try:
            return await self._reach.client.await_version(beat.url, call) >= version
        except ShardFault:
            return False
