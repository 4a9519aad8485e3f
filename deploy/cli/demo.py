"""`demo`: a cluster of its own, real photos, and every answer checked. Leaves nothing behind."""

from __future__ import annotations

import json
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import typer

from deploy.cli.checked import COLUMNS, Checked, word
from deploy.cli.morning import morning
from deploy.cli.output import list_skipped, out, say, table
from deploy.client.enrolment import Options, as_upload, enrol_people
from deploy.client.evaluation import Probe, searched
from deploy.client.http import Client, ClientError
from deploy.demo.cast import Cast, from_folder, homes, invented
from deploy.demo.morning import ZONE
from deploy.local.cluster import LocalCluster
from deploy.local.embedded_redis import free_port

STORES = ("vienna", "graz", "linz")
HEAL_TIMEOUT_S = 30.0


def demo(
    faces: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="Use this folder of people, a folder each.")
    ] = None,
    shards: Annotated[int, typer.Option(min=2, max=16, help="Number of shards.")] = 3,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of the gateway; left out: a free one.")
    ] = None,
) -> None:
    """See it work: three stores, real photos, known people found everywhere, strangers told apart.

    Starts a cluster of its own in a temporary folder and leaves nothing running. Without --faces the people are
    invented, from a public portrait. Ends with an error if any answer is wrong.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):  # so that these, too, remove the temporary folder
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, signal.default_int_handler)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="facegrid-demo-", ignore_cleanup_errors=True) as folder:
        cluster = LocalCluster(
            Path(folder), shards=shards, port=port or free_port(), report=lambda line: say(line, "dim")
        )
        say(f"Starting {shards} shards, a gateway and a server, on this machine only …")
        with ThreadPoolExecutor(1) as aside:
            cast = aside.submit(_cast, faces)  # making the photos and starting the processes take seconds each
            with cluster, Client(cluster.url, cluster.key) as client:
                say(f"Ready after {time.monotonic() - began:.1f} s.")
                checked = play(cluster, client, cast.result(), shards)
    wrong = checked.count(False)
    say(
        f"{checked.count(True)} of {len(checked)} answers right, {wrong} wrong; "
        f"{time.monotonic() - began:.0f} s in all; nothing is left running.",
        "bold red" if wrong else "bold green",
    )
    if wrong:
        raise typer.Exit(1)


def _cast(faces: Path | None) -> Cast:
    if faces is None:
        return invented()
    try:
        return from_folder(faces)
    except ValueError as error:
        raise ClientError(str(error)) from error


def play(cluster: LocalCluster, client: Client, cast: Cast, shards: int) -> list[bool]:
    """Enrol, search at home and elsewhere, show strangers, take a shard away, count a morning. Returns which
    answers were right."""
    places = [f"s{at % shards + 1}" for at in range(len(STORES))]
    enrol_cast(client, cast, places)
    checked = search_all(client, cast)
    say(f"Each of {len(cast.shoppers)} people at home and at another store, then strangers:")
    table("", COLUMNS, [check.cells() for check in checked], numbers=["score", "ms"])
    answers = [check.right for check in checked]
    answers.append(call_recognize(cluster, client, cast))
    answers += [check.right for check in lose_a_shard(cluster, client, cast, f"{places[1]}/a")]
    return answers + morning(cluster, cast, STORES)


def call_recognize(cluster: LocalCluster, client: Client, cast: Cast) -> bool:
    """The call that clients of the classic single-process service make; True if the answer is right."""
    person, (photo, *_) = cast.shoppers[0]
    answer = client.recognize(as_upload(photo), STORES[0])
    say("The one-line call of the classic face service works too:")
    say(f"  curl -F image=@photo.jpg -F store={STORES[0]} {cluster.url}/recognize")
    say(f'  {{"result": {json.dumps(answer)}}} ({word(answer == person.face_id)})')
    return answer == person.face_id


def enrol_cast(client: Client, cast: Cast, places: Sequence[str]) -> None:
    """Three stores, one on each shard in turn, and the people split over them."""
    began, photos = time.monotonic(), 0
    for (store, people), shard in zip(homes(cast, STORES).items(), places, strict=True):
        client.put_store(store, shard=shard, timezone=ZONE)
        with out().status(f"Enrolling at {store} …"):
            for outcome in enrol_people(client, store, people, Options(accept_poor=cast.drawn)):
                photos += outcome.enrolled
                list_skipped(outcome.skipped)
    spread = ", ".join(f"{store} on {shard}" for store, shard in zip(STORES, places, strict=True))
    say(f"Enrolled {len(cast.shoppers)} people, {photos} photos, in {time.monotonic() - began:.1f} s: {spread}.")


def search_all(client: Client, cast: Cast) -> list[Checked]:
    """Every person at home and at the next store, every stranger at one of the stores."""
    asked: list[tuple[str, Probe, str]] = []
    for at, (person, photos) in enumerate(cast.shoppers):
        home, other = STORES[at % len(STORES)], STORES[(at + 1) % len(STORES)]
        searches = [(photos[0], home), (photos[-1], other)]
        asked += [(person.face_id, Probe(photo, place, (home, person.face_id)), "match") for photo, place in searches]
    for at, (name, photo) in enumerate(cast.strangers):
        asked.append((name, Probe(photo, STORES[at % len(STORES)], None), "no_match"))
    with out().status("Searching …"):
        return [_check(client, *one) for one in asked]


def _check(client: Client, name: str, probe: Probe, expected: str) -> Checked:
    ((_, answer),) = searched(client, [probe], workers=1)
    return Checked(name, probe, expected, answer)


def lose_a_shard(cluster: LocalCluster, client: Client, cast: Cast, victim: str) -> list[Checked]:
    """Kill a shard: what is known at home is still found, a stranger is not denied but inconclusive. Then it heals."""
    name, unknown = cast.strangers[0]
    person, (photo, *_) = cast.shoppers[0]
    stranger = Probe(unknown, STORES[0], None)
    say(f"Killing shard {victim} (kill -9), so that one of the stores cannot be searched:")
    with cluster.held_down(victim):
        while_down = [
            _check(client, person.face_id, Probe(photo, STORES[0], (STORES[0], person.face_id)), "match"),
            _check(client, name, stranger, "inconclusive"),
        ]
    for check in while_down:
        say(f"  {check.name} at {check.probe.store}: {check.verdict} ({word(check.right)})")
    began = time.monotonic()
    cluster.wait_ready()
    healed = _until(lambda: _check(client, name, stranger, "no_match"))
    say(f"  It is back after {time.monotonic() - began:.1f} s; {name} at {STORES[0]}: {healed.verdict}")
    return [*while_down, healed]


def _until(check: Callable[[], Checked]) -> Checked:
    """Ask again until the answer is right, for a while: the gateway hears of the new process a moment later."""
    deadline = time.monotonic() + HEAL_TIMEOUT_S
    while not (result := check()).right and time.monotonic() < deadline:
        time.sleep(0.2)
    return result
