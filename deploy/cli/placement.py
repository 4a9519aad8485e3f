"""`move`, `rebalance`, `drain`: where stores are. Each waits until it is done, and fails if it is not."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Annotated

import typer

from deploy.cli.options import DEFAULT_URL, Key, StoreName, Url, a_name, connect
from deploy.cli.output import progress, say, table
from deploy.client.answers import MoveBody, PlanBody, StoreBody
from deploy.client.http import Client, ClientError

POLL_S = 0.25
GIVEN_UP_S = 3.0
"""a store without a move for so long: given up; for a shorter time: this gateway may not have heard of the move yet"""
STILL_S = 120.0
"""longest time without a step forward"""

ShardName = Annotated[str, typer.Argument(metavar="SHARD", callback=a_name, help="Name of the shard.")]


def move(store: StoreName, shard: ShardName, url: Url = DEFAULT_URL, key: Key = "") -> None:
    """Move a store to another shard, while it is searched and written to."""
    with connect(url, key) as client:
        asked = client.move(store, shard)
        if asked["move"] is None:
            say(f"Store {store} is on shard {shard} already.")
            return
        started = time.monotonic()
        wait_for_stores(client, {store: shard})
    say(f"Store {store} is on shard {shard}: {asked['faces']} faces in {time.monotonic() - started:.1f} s.")


def rebalance(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be moved.")] = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Even out the shards by moving a few stores."""
    with connect(url, key) as client:
        plan = client.rebalance(dry_run=dry_run)
        show(plan)
        if dry_run or not plan["moves"]:
            return
        wait_for_stores(client, {move["store"]: move["target"] for move in plan["moves"]})
    say(f"{len(plan['moves'])} stores are moved.")


def drain(
    shard: ShardName,
    undo: Annotated[bool, typer.Option("--undo", help="Let it have stores again.")] = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Empty a shard before it is taken down: it gets no new stores and gives its own to others."""
    with connect(url, key) as client:
        left = client.drain(shard, undo=undo)["stores"]
        if undo:
            say(f"Shard {shard} gets stores again.")
            return
        wait_until_empty(client, shard, len(left))
    say(f"Shard {shard} is empty and gets no stores; it can be stopped. `facegrid drain {shard} --undo` takes it back.")


def show(plan: PlanBody) -> None:
    rows = [[s["shard"], f"{s['rows_before']:,}", f"{s['rows_after']:,}"] for s in plan["shards"]]
    table("", ["shard", "rows now", "rows after"], rows, numbers=["rows now", "rows after"])
    if not plan["moves"]:
        say("Nothing has to be moved.")
        return
    moves = [[m["store"], m["source"], m["target"], f"{m['rows']:,}"] for m in plan["moves"]]
    table("", ["store", "from", "to", "rows"], moves, numbers=["rows"])


def wait_for_stores(client: Client, goals: Mapping[str, str]) -> None:
    """Return once each store is where it was ordered to; ClientError if one was given up or nothing goes on."""
    left = dict(goals)
    seen: object = None
    changed = time.monotonic()
    with progress("moved", len(goals)) as bar:
        while left:
            now = {store: (body["shard"], body["move"]) for store, body in _bodies(client, left).items()}
            left = {store: goal for store, goal in left.items() if now[store] != (goal, None)}
            bar.update(bar.task_ids[0], completed=len(goals) - len(left))
            changed = time.monotonic() if now != seen else changed
            seen = now
            if time.monotonic() - changed > GIVEN_UP_S:
                _check_going_on(now, left)
            if left:
                _pause(changed, f"{len(left)} stores are not moved yet")


def _check_going_on(now: Mapping[str, tuple[str, MoveBody | None]], left: Mapping[str, str]) -> None:
    for store, goal in left.items():
        shard, moving = now[store]
        if moving is None:
            raise ClientError(f"Store {store} stays on shard {shard}: the move to {goal} was given up.")


def wait_until_empty(client: Client, shard: str, stores: int) -> None:
    """Return once the shard has no store any more; ClientError if it is not drained any more or nothing goes on."""
    seen: object = None
    changed = time.monotonic()
    with progress("moved", stores) as bar:
        while True:
            body = next((one for one in client.shards() if one["shard"] == shard), None)
            if body is None or not (body["stores"] or body["moves"]):
                return
            if not body["draining"]:
                raise ClientError(
                    f"Shard {shard} is not being drained any more; {len(body['stores'])} stores are left."
                )
            bar.update(bar.task_ids[0], completed=stores - len(body["stores"]))
            now = (body["stores"], body["moves"])
            changed = time.monotonic() if now != seen else changed
            seen = now
            _pause(changed, f"{len(body['stores'])} stores are still on shard {shard}")


def _bodies(client: Client, stores: Iterable[str]) -> dict[str, StoreBody]:
    wanted = set(stores)
    found = {body["store"]: body for body in client.stores() if body["store"] in wanted}
    if gone := sorted(wanted - found.keys()):
        raise ClientError(f"Store {gone[0]} was deleted meanwhile.")
    return found


def _pause(changed: float, what: str) -> None:
    if time.monotonic() - changed > STILL_S:
        raise ClientError(f"{what}, and nothing went on for {STILL_S:.0f} s. `facegrid shards` shows what is alive.")
    time.sleep(POLL_S)
