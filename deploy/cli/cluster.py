"""`up`: a whole cluster on this machine. `gateway`, `shard`: one process of a cluster, in the foreground."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from common.durability import durability_lacks
from common.truth import connect
from deploy.cli.options import DEFAULT_URL, Port, a_name, a_redis_url
from deploy.cli.output import out, say
from deploy.local.cluster import ClusterError, LocalCluster

DATA = Path(".facegrid")


def up(
    shards: Annotated[int, typer.Option(min=1, max=64, help="Number of shards.")] = 3,
    replicas: Annotated[int, typer.Option(min=1, max=8, help="Processes for each shard.")] = 1,
    port: Port = 8000,
    data: Annotated[Path, typer.Option(file_okay=False, help="Where the faces are kept between runs.")] = DATA,
    redis: Annotated[
        str | None, typer.Option(metavar="URL", callback=a_redis_url, help="Use this server, not the embedded one.")
    ] = None,
) -> None:
    """Start a whole cluster here: server, shards, gateway. Ctrl-C stops it; the data stays.

    Processes that die are started again. Everything listens on this machine only.
    """
    cluster = LocalCluster(
        data, shards=shards, replicas=replicas, port=port, redis_url=redis, report=lambda line: tell(line, "yellow")
    )
    with signals() as asked_to_end:
        start(cluster, asked_to_end)
        try:
            tell(f"Facegrid is ready at {cluster.url} (API: {cluster.url}/docs)", "bold green")
            tell(f"  {shards} shards, {replicas} replica(s) each; Ctrl-C stops everything.")
            tell(f"  data: {data}")
            tell(f"  logs: {data / 'logs'}")
            if redis is not None:
                warn_of_losses(redis)
            tell(f"Next, in another terminal: facegrid enrol STORE PHOTOS/{where(cluster)}")
            while not asked_to_end.wait(0.5):
                cluster.check()
        finally:
            tell("Stopping …")
            cluster.stop()
    tell("Stopped; the data is kept.")


def where(cluster: LocalCluster) -> str:
    """What a command needs besides to reach this cluster. The key itself is not shown."""
    url = "" if cluster.url == DEFAULT_URL else f" --url {cluster.url}"
    return url + (" --key KEY" if cluster.key else "")


def tell(text: str, style: str = "") -> None:
    """`say` for a service: a terminal that was closed, or a pipe that nobody reads, must not end the cluster."""
    with suppress(OSError, SystemExit):  # SystemExit: what rich makes of a broken pipe
        say(text, style)


def warn_of_losses(redis_url: str) -> None:
    """Say so if the server may lose, or forget, what was acknowledged."""

    async def ask() -> str | None:
        async with connect(redis_url, timeout_s=2) as redis:
            return await durability_lacks(redis)

    if lacks := asyncio.run(ask()):
        tell(f"Warning: this Redis server may lose faces that it confirmed: {lacks}.", "bold yellow")
        tell("  deploy/redis.conf has the settings that keep them.", "yellow")


def start(cluster: LocalCluster, asked_to_end: threading.Event) -> None:
    """Start it, showing what it waits for; ClusterError if a signal comes first."""

    def waiting(why: str) -> None:
        status.update(f"Starting: {why}")
        if asked_to_end.is_set():
            raise ClusterError("Asked to end before it was ready; everything is stopped.")

    with out().status("Starting …") as status:
        cluster.start(waiting=waiting)


@contextmanager
def signals() -> Iterator[threading.Event]:
    """An event that SIGINT, SIGTERM and SIGHUP set; those that `nohup` or a script's `&` had switched off stay so.

    After the first, Ctrl-C ends us at once (and the kernel our children); a closing terminal sends SIGHUP twice.
    """
    asked_to_end = threading.Event()
    wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    numbers = [number for number in wanted if signal.getsignal(number) is not signal.SIG_IGN]

    def on_signal(_: int, __: FrameType | None) -> None:
        asked_to_end.set()
        if signal.SIGINT in numbers:
            signal.signal(signal.SIGINT, signal.SIG_DFL)

    before = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield asked_to_end
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


Host = Annotated[str | None, typer.Option(help="Address to listen on; beyond this machine it needs keys.")]
RedisUrl = Annotated[
    str | None, typer.Option("--redis", metavar="URL", callback=a_redis_url, help="Where the truth is kept.")
]
OwnPort = Annotated[int | None, typer.Option(min=1, max=65535, help="Port to listen on.")]


def gateway(host: Host = None, port: OwnPort = None, redis: RedisUrl = None) -> None:
    """Run one gateway in the foreground. Options win over FACEGRID_* settings (README lists them all)."""
    _set(HOST=host, PORT=port, REDIS_URL=redis)
    from gateway.__main__ import main  # noqa: PLC0415  # loads the encoders

    raise typer.Exit(main())


def shard(
    name: Annotated[str | None, typer.Option("--shard", callback=a_name, help="Name of the shard, such as s1.")] = None,
    replica: Annotated[str | None, typer.Option(callback=a_name, help="Name of the replica, such as a.")] = None,
    host: Host = None,
    port: OwnPort = None,
    redis: RedisUrl = None,
    advertise_url: Annotated[str | None, typer.Option(metavar="URL", help="How gateways reach this shard.")] = None,
) -> None:
    """Run one shard replica in the foreground. Options win over FACEGRID_* settings (README lists them all)."""
    _set(SHARD=name, REPLICA=replica, HOST=host, PORT=port, REDIS_URL=redis, ADVERTISE_URL=advertise_url)
    from shard.__main__ import main  # noqa: PLC0415  # loads Faiss

    raise typer.Exit(main())


def _set(**settings: str | int | None) -> None:
    """The settings are read from the environment, at one place; an option is a shorter way to write there."""
    os.environ.update({f"FACEGRID_{name}": str(value) for name, value in settings.items() if value is not None})
