"""The demo's morning of traffic: cameras at three stores, a member at the checkout, the report beside the truth."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from deploy.cli.checked import short, word
from deploy.cli.footfall import show
from deploy.cli.output import out, say
from deploy.cli.watch import line
from deploy.client.enrolment import as_upload
from deploy.client.events import Watch
from deploy.client.footfall import FootfallClient, RowBody
from deploy.client.members import MemberClient
from deploy.client.sightings import Sent, Shot, Sighting, SightingClient
from deploy.demo.cast import Cast
from deploy.demo.morning import CHAIN, LASTS, OPENS, ZONE, Count, Passing, counted, morning_of
from deploy.local.cluster import LocalCluster

MEMBER = "c-1042"
SHOWN = 4
"""arrivals printed"""


def morning(cluster: LocalCluster, cast: Cast, stores: Sequence[str]) -> list[bool]:
    """Play yesterday morning; True for each row of the report that is as it should be."""
    day = datetime.now(ZoneInfo(ZONE)).date() - timedelta(days=1)
    passings = morning_of(cast, stores, day)
    with MemberClient(cluster.url, cluster.key) as members:
        person, _ = cast.shoppers[0]
        members.put_member(MEMBER, {"display_name": "Ada Lovelace", "tier": "gold"})
        members.bind(MEMBER, stores[0], person.face_id)
    say(f"A morning of traffic, with its own times: {len(passings)} sightings at three cameras.")
    with out().status("Counting …"), SightingClient(cluster.url, cluster.key) as cameras:
        unsent = [one for one in passings if not isinstance(cameras.post(_sighting(one)), Sent)]
    _show_checkout(cluster, stores[0])
    return [not unsent, *_report(cluster, counted(passings), day)]


def _sighting(passing: Passing) -> Sighting:
    shot = Shot(as_upload(passing.photo).content, passing.at_ms)
    return Sighting(passing.store, "door", f"t{passing.at_ms}", passing.at_ms, (shot,))


def _show_checkout(cluster: LocalCluster, store: str) -> None:
    say(f"What the checkout of {store} was shown (facegrid watch {store}):")
    events = Watch(cluster.url, cluster.key, tell=lambda _: None).events(store, after="0-0")
    for event in itertools.islice(events, SHOWN):
        say(short(f"  {line(event)}", most=78))


def _report(cluster: LocalCluster, truth: dict[str, Count], day: date) -> list[bool]:
    opens = datetime.combine(day, OPENS, ZoneInfo(ZONE))
    with FootfallClient(cluster.url, cluster.key) as client:
        start, end = opens.isoformat(), (opens + LASTS).isoformat()
        report = client.footfall(group="default", start=start, end=end, bucket="hour")
    show(report)
    rows: list[tuple[str, RowBody | None]] = [
        *((row["store"], row) for row in report["stores"]),
        (CHAIN, report["chain"]),
    ]
    answers = []
    for name, row in rows:
        said = Count(0, 0) if row is None else Count(row["total"]["pv"], row["total"]["uv"])
        answers.append(said == truth[name])
        figures = f"PV {said.pv} of {truth[name].pv}, UV {said.uv} of {truth[name].uv}"
        say(f"  {name or 'all stores'}: {figures} ({word(answers[-1])})")
    return answers
