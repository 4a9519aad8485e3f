"""`camera`: a camera, a video or a folder of photos as a store's eye."""

# ruff: noqa: PLR0913  # the options of a command are its parameters

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer
from rich.markup import escape
from rich.status import Status

from deploy.camera.agent import Agent
from deploy.camera.detect import Detector
from deploy.camera.live import Live
from deploy.camera.run import into, run
from deploy.camera.sender import Sender
from deploy.camera.source import FOLDER_EVERY_S, Folder, Schedule, Source
from deploy.camera.spool import LIMIT_BYTES, Spool
from deploy.camera.video import EVERY_S, Video
from deploy.cli.cluster import DATA, signals
from deploy.cli.options import DEFAULT_URL, Key, StoreName, Url, a_name, connect
from deploy.cli.output import out, say
from deploy.client.http import ClientError, Problem
from deploy.client.moment import parse_ms
from deploy.client.sightings import SightingClient

WRONG_FROM_THE_START = frozenset({401, 403, 404})
SMALLEST_SPOOL = 10_000_000
STREAMS = frozenset({"rtsp", "rtsps", "http", "https"})

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Timing:
    """--start and --every; None where they were left out."""

    start_ms: int | None
    every_s: float | None

    def schedule(self) -> Schedule | None:
        """Of the photos of a folder; None: the photos tell."""
        if self.start_ms is None:
            return None
        return Schedule(self.start_ms, FOLDER_EVERY_S if self.every_s is None else self.every_s)


def a_time(value: str | None) -> str | None:
    try:
        parse_ms(value or "2000-01-01")
    except ValueError as error:
        raise typer.BadParameter(f"{value!r} is no time such as 2026-11-20T09:00:00+01:00.") from error
    return value


def a_stream(value: str | None) -> str | None:
    """Checked without repeating it: it may hold a password."""
    with suppress(ValueError):
        if value is None or (urlsplit(value).scheme in STREAMS and urlsplit(value).hostname):
            return value
    raise typer.BadParameter("It is no URL such as rtsp://camera.local/stream.")


def camera(
    store: StoreName,
    *,
    folder: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="Photos, in the order of their names.")
    ] = None,
    video: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="A video file.")] = None,
    rtsp: Annotated[
        str | None, typer.Option(metavar="URL", callback=a_stream, help="A network camera, until Ctrl-C.")
    ] = None,
    name: Annotated[str, typer.Option("--camera", callback=a_name, help="What the camera is called.")] = "camera",
    every: Annotated[
        float | None,
        typer.Option(
            min=0.02,
            max=3600,
            metavar="SECONDS",
            help=f"Look so often: default {EVERY_S:g}. With --folder and --start: between photos, {FOLDER_EVERY_S:g}.",
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            callback=a_time,
            help="When the video or the first photo was taken. Left out: as the files say, which may be too old.",
        ),
    ] = None,
    spool: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="Where sightings wait. Default: .facegrid/spool/STORE/CAMERA."),
    ] = None,
    spool_limit: Annotated[
        int, typer.Option(min=SMALLEST_SPOOL, metavar="BYTES", help="At most so much waits there.")
    ] = LIMIT_BYTES,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """See who comes in: faces are found, followed and sent as sightings, one a person, with the times of the pictures.

    What cannot be sent now waits on disk, and is sent when the gateway is back, also after a restart. A folder or a
    video ends when everything is sent; the exit code is 1 if anything still waits or was refused. A time without an
    offset is this machine's local time.
    """
    check_options(folder, video, rtsp, every, start)
    check_store(store, url, key)
    with signals() as stop, showing() as status:
        report = reporter(status)
        timing = Timing(None if start is None else parse_ms(start), every)
        source = open_source(folder, video, rtsp, timing, stop, report)
        waiting = Spool(spool or DATA / "spool" / store / name, spool_limit, report)
        waiting.open()
        try:
            with SightingClient(url, key.strip()) as client:
                sender = Sender(waiting, client.post, report)
                agent = Agent(store, name, Detector(), into(waiting, patiently=source.ends, stop=stop))
                run(source, agent, sender, stop, lambda: status.update(progress_line(agent, sender, waiting)))
        finally:
            waiting.close()
    summary(agent, sender, waiting)
    if source.ends and (len(waiting) or sender.tally.rejected):
        raise typer.Exit(1)


def check_options(
    folder: Path | None, video: Path | None, rtsp: str | None, every: float | None, start: str | None
) -> None:
    if [folder, video, rtsp].count(None) != 2:
        raise typer.BadParameter("Give one of --folder, --video and --rtsp.", param_hint="--folder")
    if rtsp is not None and start is not None:
        raise typer.BadParameter("What a camera shows was taken now.", param_hint="--start")
    if folder is not None and every is not None and start is None:
        raise typer.BadParameter("With --folder it needs --start; the photos tell their times.", param_hint="--every")


def check_store(store: str, url: str, key: str) -> None:
    """A wrong key or store is said before anything is looked at; a gateway that is away is no obstacle."""
    with connect(url, key) as client:
        try:
            client.store(store)
        except Problem as problem:
            if problem.status in WRONG_FROM_THE_START:
                raise
        except ClientError:
            return


def open_source(
    folder: Path | None,
    video: Path | None,
    rtsp: str | None,
    timing: Timing,
    stop: threading.Event,
    report: Report,
) -> Source:
    """Raises OpenCvMissing where it is needed."""
    if folder is not None:
        return Folder(folder, timing.schedule(), lambda photo, why: report(f"skipped {photo}: {why}"))
    often = EVERY_S if timing.every_s is None else timing.every_s
    return Live(str(rtsp), stop, often, report) if video is None else Video(video, timing.start_ms, often)


@contextmanager
def showing() -> Iterator[Status]:
    """One line at the bottom of a terminal; nothing where the output is piped."""
    with out().status("Starting …") as status:
        yield status


def reporter(status: Status) -> Report:
    """Lines above the status; from any thread."""
    return lambda line: status.console.print(escape(line), style="yellow", soft_wrap=True)


def progress_line(agent: Agent, sender: Sender, spool: Spool) -> str:
    line = f"{agent.frames:,} frames, {agent.people:,} people; {sender.tally.sent:,} sent, {len(spool):,} waiting"
    return line if sender.trouble is None else f"{line} (the gateway takes none now)"


def summary(agent: Agent, sender: Sender, spool: Spool) -> None:
    """What was seen, sent, refused, lost and is left."""
    tally = sender.tally
    faces = ", ".join(f"{count:,} {word}" for word, count in sorted(tally.faces.items()))
    say(f"{agent.frames:,} frames, {agent.people:,} people; {tally.sent:,} sightings sent{faces and ': ' + faces}.")
    if tally.rejected:
        codes = ", ".join(f"{code} {count:,}" for code, count in sorted(tally.problems.items()))
        say(f"{tally.rejected:,} refused ({codes}); {spool.root / 'rejected'} says why, without photos.", "yellow")
        for code, reason in sorted(tally.reasons.items()):
            say(f"  {code}: {reason}", "yellow")
    if spool.dropped:
        say(f"{spool.dropped:,} lost, because the spool was full.", "bold red")
    if len(spool):
        say(f"{len(spool):,} wait in {spool.root}; the same command sends them.", "yellow")
