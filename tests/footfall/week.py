"""`python -m tests.footfall.week`: a week of a chain's trade with real embeddings; the reports beside the truth.

Ten stores. People with several photos are returning visitors: each visit is one track of up to three of their photos
(see `traffic.photos_a_visit`), a quarter of them go to two stores. People with one photo are strangers who come once.
One person a store is staff. Everything is posted in the order of time, with its original time, over several
connections, to a real cluster at its default settings. Beside the figures stands what the encoder alone allows
(`encoder_limit`).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.table import Table

from common.types import Vectors
from deploy.local.cluster import LocalCluster
from deploy.local.embedded_redis import free_port
from tests.footfall.camera import Account, cameras, enrol, open_stores
from tests.footfall.encoder_limit import faces_of, missed
from tests.footfall.report import CHAIN, Report, expected, fetch
from tests.footfall.traffic import EMBEDDINGS, Traffic, photos_a_visit, real_people, week

STORES = [f"shop-{nth:02}" for nth in range(1, 11)]
GROUP, ZONE, DAYS = "chain", ZoneInfo("Europe/Vienna"), 7
SETTINGS: dict[str, object] = {"group": GROUP, "timezone": ZONE.key}
CAMERAS = 8


@dataclass(frozen=True, slots=True)
class Outcome:
    traffic: Traffic
    account: Account
    truth: Report
    found: Report
    took_s: float


def run(url: str, traffic: Traffic) -> Outcome:
    """The whole traffic through the gateway at `url`, whose stores are there."""
    first = datetime.fromtimestamp(traffic.sightings[0].at_ms / 1000, ZONE).date()
    account, started = Account(), time.monotonic()
    asyncio.run(enrol(url, traffic.staff))
    asyncio.run(cameras([url], traffic.sightings, CAMERAS, account))
    took_s = time.monotonic() - started
    truth = expected(traffic.customers, ZONE, first, DAYS)
    return Outcome(traffic, account, truth, fetch(url, GROUP, first, DAYS), took_s)


def off(found: int, true: int) -> str:
    return f"{found - true:+,} ({(found - true) / true:+.1%})" if found != true else "0"


def figures_table(outcome: Outcome) -> Table:
    table = Table("store", "visits", "PV", "error", "persons", "UV", "error", title="A week at ten stores", box=None)
    for store in [*STORES, CHAIN]:
        true, found = outcome.truth.total(store), outcome.found.total(store)
        table.add_row(
            *(store, f"{true.pv:,}", f"{found.pv:,}", off(found.pv, true.pv)),
            *(f"{true.uv:,}", f"{found.uv:,}", off(found.uv, true.uv)),
        )
    return table


def people_table(outcome: Outcome, people: Mapping[str, Vectors]) -> Table:
    """Faces made of those who came more than once, by how many photos a visit has, beside the encoder's FNMR."""
    rows = len({face for faces in outcome.account.faces.values() for face in faces})
    at_home, anywhere = rows // len(STORES), rows
    table = Table(
        *("photos a visit", "returning people", "their visits", "their faces", "too many"),
        *(f"missed among {at_home:,} (home)", f"missed among {anywhere:,} (chain)"),
        title="Returning visitors, and the encoder's FNMR at the thresholds",
        box=None,
    )
    visits: dict[str, int] = {}
    for sighting in outcome.traffic.customers:
        visits[sighting.person] = visits.get(sighting.person, 0) + 1
    for size in (1, 2, 3):
        group = [one for one, times in visits.items() if times > 1 and photos_a_visit(len(people[one])) == size]
        faces = sum(len(outcome.account.faces[one]) for one in group)
        misses = [f"{missed(people, size, among):.1%}" for among in (at_home, anywhere)]
        counts = (len(group), sum(visits[one] for one in group), faces, faces - len(group))
        table.add_row(str(size), *(f"{count:,}" for count in counts), *misses)
    return table


def summary(outcome: Outcome) -> list[str]:
    account, traffic = outcome.account, outcome.traffic
    limit = faces_of(traffic.sightings, traffic.staff)
    staff = {one.person for one in traffic.staff}
    customers = {one for one in account.faces if one not in staff}
    alone = {face for face, sighting in zip(limit, traffic.sightings, strict=True) if sighting.person not in staff}
    truth = outcome.truth.total().uv
    return [
        f"{len(traffic.sightings):,} sightings in {outcome.took_s:.0f} s; answers: {dict(account.outcomes)}",
        f"persons with more than one face: {len(customers & account.duplicates.keys())}; "
        f"faces that several persons were taken for: {len(account.false_joins)}",
        f"the same rules in one process, without adaptation: UV of the chain {len(alone):,}, {off(len(alone), truth)}",
    ]


def last_week() -> datetime:
    """Local midnight of seven days before today."""
    today = datetime.now(ZONE).replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=DAYS)


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.footfall.week", description="A week of real embeddings.")
    parser.add_argument("--embeddings", type=Path, default=EMBEDDINGS, help="npz with embeddings and person")
    parser.add_argument("--seed", type=int, default=1, help="of who comes when (default: %(default)s)")
    chosen = parser.parse_args(given)
    os.environ["FACEGRID_ENCODER_WORKERS"] = "0"
    people = real_people(chosen.embeddings)
    traffic = week(people, STORES, last_week().date(), ZONE, chosen.seed)
    with tempfile.TemporaryDirectory() as folder, LocalCluster(Path(folder) / "data", port=free_port()) as cluster:
        asyncio.run(open_stores([cluster.url], dict.fromkeys(STORES, SETTINGS)))
        outcome = run(cluster.url, traffic)
    console = Console()
    console.print(figures_table(outcome))
    console.print(people_table(outcome, people))
    for line in summary(outcome):
        console.print(line, soft_wrap=True)


if __name__ == "__main__":
    main()
