"""`stores`: list, add, remove. `shards`: what serves them."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from deploy.cli.options import DEFAULT_URL, FriendlyGroup, Key, StoreName, Url, a_name, connect
from deploy.cli.output import say, table

STATE_STYLE = {"ready": "green", "loading": "yellow", "down": "red"}

stores = typer.Typer(
    cls=FriendlyGroup,
    invoke_without_command=True,
    help="List the stores; `add` and `remove` one.",
    add_help_option=True,
)


@stores.callback()
def list_stores(context: typer.Context, url: Url = DEFAULT_URL, key: Key = "") -> None:
    """List the stores; add or remove one with the commands below."""
    if context.invoked_subcommand is not None:
        return
    with connect(url, key) as client:
        found = client.stores()
    if not found:
        say("There is no store yet. `facegrid stores add NAME` creates one; so does enrolling.")
        return
    rows = [[s["store"], s["shard"], s["group"], s["timezone"], s["space"], str(s["faces"])] for s in found]
    table("", ["store", "shard", "group", "time zone", "space", "faces"], rows, numbers=["faces"])


@stores.command("add")
def add_store(  # noqa: PLR0913  # its options
    store: StoreName,
    *,
    shard: Annotated[str | None, typer.Option(callback=a_name, help="Shard; left out: the least loaded.")] = None,
    group: Annotated[str | None, typer.Option(callback=a_name, help="Stores that see each other's visitors.")] = None,
    timezone: Annotated[str | None, typer.Option(help="Such as Europe/Vienna; left out: UTC.")] = None,
    space: Annotated[
        str | None, typer.Option(callback=a_name, help="Embedding space of a new store; left out: dlib's.")
    ] = None,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Create a store, or change the settings of one that is there."""
    wanted = {"shard": shard, "group": group, "timezone": timezone, "space": space}
    with connect(url, key) as client:
        new = client.put_store(store, **{name: value for name, value in wanted.items() if value is not None})
    say(f"Store {store} is created." if new else f"Store {store} was there; its settings are as asked now.")


@stores.command("remove")
def remove_store(
    store: StoreName,
    force: Annotated[bool, typer.Option("--force", help="Erase its faces too.")] = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Delete a store. One that holds faces is deleted only with --force."""
    with connect(url, key) as client:
        client.delete_store(store, force=force)
    say(f"Store {store} is deleted.")


def shards(url: Url = DEFAULT_URL, key: Key = "") -> None:
    """List the shards and their replicas: state, stores, rows, how far behind."""
    with connect(url, key) as client:
        found = client.shards()
    rows = [
        [
            f"{shard['shard']}/{replica['replica']}",
            f"[{STATE_STYLE.get(replica['state'], 'white')}]{replica['state']}[/]",
            str(replica["stores"]),
            str(replica["rows"]),
            "?" if replica["lag"] is None else str(replica["lag"]),
            escape(replica["url"]),
        ]
        for shard in found
        for replica in shard["replicas"]
    ]
    rows += [
        [f"{s['shard']}", "[red]down[/]", str(len(s["stores"])), "-", "-", "-"] for s in found if not s["replicas"]
    ]
    if not rows:
        say("No shard is alive. `facegrid up` starts a whole cluster.")
        return
    table("", ["replica", "state", "stores", "rows", "behind", "url"], rows, numbers=["stores", "rows", "behind"])
