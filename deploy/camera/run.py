"""One run of the agent: frames into the spool here, the spool into the gateway beside it, until the end or `stop`."""

from __future__ import annotations

import threading
from collections.abc import Callable

from deploy.camera.agent import Agent
from deploy.camera.sender import Sender
from deploy.camera.source import Source
from deploy.camera.spool import Spool
from deploy.client.http import ClientError
from deploy.client.sightings import Sighting

SHOWN_EVERY_S = 0.2


def run(source: Source, agent: Agent, sender: Sender, stop: threading.Event, show: Callable[[], None]) -> None:
    """Return once everything is sent, or, after `stop`, once the attempt that runs is over; the rest is in the spool.

    `show` is called often. A source that goes on for ever ends with `stop` alone. Raises SourceError, and ClientError
    where the spool cannot be used or nothing will be taken until somebody changes something.
    """
    sender.start()
    try:
        for frame in source.frames():
            agent.see(frame)
            sender.check()
            show()
            if stop.is_set():
                break
        agent.end()
        if source.ends:
            _wait_until_sent(sender, stop, show)
    finally:
        source.close()
        sender.stop()
        sender.join()


def _wait_until_sent(sender: Sender, stop: threading.Event, show: Callable[[], None]) -> None:
    sender.finish()
    while not sender.join(SHOWN_EVERY_S) and not stop.is_set():
        show()
        if sender.stuck and sender.trouble is not None:
            raise ClientError(f"{sender.trouble.why} The sightings are kept in the spool.")
    sender.check()


def into(spool: Spool, *, patiently: bool, stop: threading.Event) -> Callable[[Sighting], None]:
    """How sightings get into the spool. `patiently`: a full one is waited for, because photos and videos do not go
    away; a camera does not wait, and the oldest sighting is dropped. Raises ClientError if the spool fails."""

    def put(sighting: Sighting) -> None:
        with spool.changed:
            while patiently and spool.full and not stop.is_set():
                spool.changed.wait(SHOWN_EVERY_S)
        try:
            spool.put(sighting)
        except OSError as error:
            raise ClientError(f"The spool {spool.root} cannot be written: {error.strerror}.") from error

    return put
