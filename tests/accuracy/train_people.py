"""An encoder trained on 60 people, killed on the way, resumed, exported, and asked in a running cluster:

    python -m tests.accuracy.train_people [--people DIR] [--run FOLDER] [options of facegrid train]

Needs the extra `train`. Everything is done by the commands and the API that users have; the kill is SIGKILL to the
whole group of processes, a third of the way. Ends with 1 if TAR did not rise over the untrained network's, the resumed
run forgot an epoch, or the cluster did not find people in the new space better than chance.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.cli.output import percent, say
from deploy.client.enrolment import Options, as_upload, enrol_people
from deploy.client.http import Client
from deploy.client.photos import Person, plan
from deploy.local.cluster import LocalCluster
from deploy.local.embedded_redis import free_port
from deploy.train.history import Epoch
from deploy.train.recipe import Recipe
from deploy.train.run import EXPORT, HISTORY
from tests.conftest import FACES, REPOSITORY

FACEGRID = (sys.executable, "-m", "deploy.cli")
SPACE = "people60-v1"
KILLED_AFTER = 1 / 3
"""of the epochs"""
STORE = "trial"


def train(people: Path, run: Path, options: Sequence[str], kill_at: int | None) -> int:
    """Epochs that were on disk when the command ended; at `kill_at` its processes are killed."""
    command = [*FACEGRID, "train", str(people), "--out", str(run), "--space", SPACE, *options]
    with subprocess.Popen(command, cwd=REPOSITORY, start_new_session=True) as process:
        while process.poll() is None:
            if kill_at is not None and epochs_in(run) >= kill_at:
                os.killpg(process.pid, signal.SIGKILL)
            time.sleep(0.1)
    if kill_at is None and process.returncode:
        raise SystemExit(process.returncode)
    return epochs_in(run)


def epochs_in(run: Path) -> int:
    from deploy.train.checkpoint import load  # noqa: PLC0415  # needs torch

    found = load(run / "checkpoint.npz")
    return 0 if found is None else len(found.history) - 1


def history_of(run: Path) -> list[Epoch]:
    return [Epoch.from_dict(epoch) for epoch in json.loads((run / HISTORY).read_text())]


@dataclass
class Asked:
    people: int
    searches: int = 0
    first: int = 0
    """searches whose best candidate is the person"""
    itself: int = 0
    """enrolled photos that match themselves"""


def ask(people: Sequence[Person], models: Path, data: Path) -> Asked:
    """Enrol everybody with the first photo in a store of the new space; search for all their photos."""
    os.environ["FACEGRID_MODELS"] = str(models)
    with LocalCluster(data, shards=2, port=free_port()) as cluster, Client(cluster.url, cluster.key) as client:
        client.put_store(STORE, space=SPACE)
        firsts = [Person(person.face_id, person.photos[:1]) for person in people]
        enrolled = {outcome.face_id for outcome in enrol_people(client, STORE, firsts, Options()) if outcome.enrolled}
        found = Asked(len(enrolled))
        for person in (person for person in people if person.face_id in enrolled):
            for nth, photo in enumerate(person.photos):
                result = client.search(STORE, as_upload(photo), top_k=1)["results"][0]
                best = [candidate["face_id"] for candidate in result["candidates"]]
                if nth == 0:
                    found.itself += result["verdict"] == "match" and best == [person.face_id]
                else:
                    found.searches += 1
                    found.first += best == [person.face_id]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=Path, default=FACES / "people")
    parser.add_argument("--run", type=Path, help="kept; left out: a folder that goes")
    parser.add_argument("--epochs", type=int, default=Recipe("").epochs)
    asked, options = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as spare:
        return show(asked.people, asked.run or Path(spare) / "run", asked.epochs, options, Path(spare) / "cluster")


def show(people: Path, run: Path, epochs: int, options: Sequence[str], data: Path) -> int:
    begun, options = time.monotonic(), ["--epochs", str(epochs), *options]
    killed = train(people, run, options, kill_at=max(1, round(KILLED_AFTER * epochs)))
    say(f"Killed (SIGKILL) with {killed} epochs on disk; the same command again:", style="bold")
    done = train(people, run, options, kill_at=None)
    history = history_of(run)
    seconds = sum(epoch.seconds for epoch in history)
    say(f"{done} epochs in {seconds:.0f} s of training, {time.monotonic() - begun:.0f} s in all.", style="bold")
    found = ask(plan([people]).people, run / EXPORT, data)
    say(
        f"In the cluster, space {SPACE}: {found.people} people enrolled with one photo; {found.itself} of these photos "
        f"match themselves; of {found.searches} searches with other photos, the person is first in {found.first} "
        f"({percent(found.first, found.searches)}; by chance {percent(1, found.people)}). Four fifths of these people "
        "were trained on."
    )
    first, last = history[0].validation.tar, history[-1].validation.tar
    better = all(last[far] > first[far] for far in last)
    whole = killed < done == epochs == len(history) - 1
    right = better and whole and found.itself == found.people and found.first * found.people > 3 * found.searches
    say("All as it should be." if right else "NOT as it should be.", style="bold green" if right else "bold red")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
