"""`/metrics`: numbers for Prometheus, made at each scrape from what the gateway knows anyway.

Names of shards may appear as labels; never a store, a face, or anything of one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from common.cluster_map import StoreConfig
from common.types import ReplicaState
from gateway.leader import Leader
from gateway.view import ClusterView

CONTENT_TYPE = CONTENT_TYPE_LATEST


def exposition(view: ClusterView, leader: Leader, waiting: int) -> bytes:
    """All metrics in Prometheus's text format; `waiting`: sightings that wait for shards."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ClusterMetrics(view, leader, waiting))
    return generate_latest(registry)


class ClusterMetrics(Collector):
    def __init__(self, view: ClusterView, leader: Leader, waiting: int) -> None:
        self._view = view
        self._leader = leader
        self._waiting = waiting

    def collect(self) -> Iterator[Metric]:
        view, leader = self._view, self._leader
        yield gauge("facegrid_leader", "1 if this gateway leads", leader.leading)
        yield gauge("facegrid_truth_reachable", "1 if Redis answers this gateway", view.truth_reachable)
        yield gauge("facegrid_view_age_seconds", "Since the map and the heartbeats were last read", view.age_s)
        yield by_state("facegrid_stores", "Stores by state", self._stores())
        yield by_state("facegrid_shards", "Shards by state", self._shards())
        yield gauge("facegrid_shards_draining", "Shards that give their stores away", len(view.orders.draining))
        yield gauge("facegrid_moves_queued", "Moves ordered and not begun", len(view.orders.moves))
        yield gauge("facegrid_dead_shards", "Shards the leader counts as dead; 0 elsewhere", len(leader.dead))
        yield gauge(
            "facegrid_stranded_shards",
            "Dead or draining shards whose stores nobody takes; 0 on gateways that do not lead",
            len(leader.stranded),
        )
        yield gauge(
            "facegrid_pending_sightings",
            "Sightings that wait for shards; 0 on gateways that do not lead",
            self._waiting,
        )

    def _stores(self) -> Counter[str]:
        counts = Counter({"served": 0, "moving": 0, "unserved": 0})
        counts.update(self._store(config) for config in self._view.stores.values())
        return counts

    def _store(self, config: StoreConfig) -> str:
        if not any(config.store in beat.stores for beat in self._view.shards.get(config.shard, ())):
            return "unserved"
        return "moving" if config.moving_to or config.moving_from else "served"

    def _shards(self) -> Counter[str]:
        shards = self._view.shards
        names = shards.keys() | {config.shard for config in self._view.stores.values()}
        counts = Counter({"ready": 0, "loading": 0, "down": 0})
        counts.update(self._shard(name) for name in names)
        return counts

    def _shard(self, name: str) -> str:
        beats = self._view.shards.get(name, ())
        if not beats:
            return "down"
        return "ready" if any(beat.state is ReplicaState.READY for beat in beats) else "loading"


def gauge(name: str, what: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, what, value=float(value))


def by_state(name: str, what: str, counts: Counter[str]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, what, labels=["state"])
    for state, count in sorted(counts.items()):
        family.add_metric([state], count)
    return family
