"""`make chaos`: a real cluster under constant load, its processes killed, hung and restarted at random.

Two gateways, two shards of two replicas. First calm weather for the yardstick, then one replica of a shard hung and
nothing else, then faults of every kind. It ends with a table, and with status 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

import httpx

from deploy.local.cluster import LocalCluster
from deploy.local.embedded_redis import free_port
from tests.chaos.crowd import Crowd, eraser, street, till
from tests.chaos.record import Record
from tests.chaos.storm import Storm
from tests.chaos.table import show
from tests.chaos.verify import verify
from tests.conformance import page_of_the_gateway

LONGEST_S, SHORTEST_S = 280, 10
STREETS, TILLS = 2, 3
STORES = [f"store-{n}" for n in range(6)]
CALM, HUNG = 0.2, 0.15
"""shares of the time; the rest is faults"""


def arguments(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Break a cluster under load.")
    parser.add_argument("--seconds", type=float, default=LONGEST_S - 40, help="of load (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6), help="of the choices made")
    read = parser.parse_args(given)
    if not SHORTEST_S <= read.seconds <= LONGEST_S:
        parser.error(f"--seconds: from {SHORTEST_S} to {LONGEST_S}")
    return read


def weather(storm: Storm, seconds: float, failed: list[BaseException]) -> None:
    try:
        storm.calm(CALM * seconds)
        storm.hang_one(HUNG * seconds)
        storm.blow((1 - CALM - HUNG) * seconds)
    except BaseException as error:  # noqa: BLE001  # handed to the main thread, which raises it
        failed.append(error)


async def under_load(crowd: Crowd, storm: Storm, seconds: float, seed: int) -> None:
    failed: list[BaseException] = []
    thread = threading.Thread(target=weather, args=(storm, seconds, failed), name="weather")
    work = [asyncio.create_task(street(crowd, seed + nth)) for nth in range(STREETS)]
    work += [asyncio.create_task(till(crowd, seed + STREETS + nth)) for nth in range(TILLS)]
    work.append(asyncio.create_task(eraser(crowd)))
    thread.start()
    waiting = asyncio.create_task(asyncio.to_thread(thread.join))
    try:
        await asyncio.wait([*work, waiting], return_when=asyncio.FIRST_COMPLETED)
        crowd.over.set()
        await asyncio.gather(*work)
    finally:
        storm.end()
        await waiting
    if failed:
        raise failed[0]


def main(given: Sequence[str]) -> int:
    chosen = arguments(given)
    os.environ["FACEGRID_ENCODER_WORKERS"] = "0"
    dice = random.Random(chosen.seed)
    record = Record()
    print(f"chaos: --seconds {chosen.seconds:g} --seed {chosen.seed}", flush=True)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="facegrid-chaos-")))
        cluster = stack.enter_context(LocalCluster(folder, shards=2, replicas=2, gateways=2, port=free_port()))
        for nth, store in enumerate(STORES):
            httpx.put(f"{cluster.url}/v1/stores/{store}", json={"shard": f"s{nth % 2 + 1}"}).raise_for_status()
        replicas = [f"s{shard}/{replica}" for shard in (1, 2) for replica in "ab"]
        storm = Storm(cluster, replicas, ["gateway", "gateway-2"], record, dice)
        crowd = Crowd(cluster.urls, STORES, page_of_the_gateway(), record, random.Random(chosen.seed))
        asyncio.run(under_load(crowd, storm, chosen.seconds, chosen.seed))
        people, faces = verify(crowd)
    return show(record, people, faces)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
