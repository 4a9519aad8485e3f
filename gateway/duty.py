"""What only the leading gateway does beside requests, in turns, leading itself among it: every gateway runs the loops,
one at a time acts in them.

Duties are safe to be done by two at once for a moment (an old leader that does not know yet), so none holds a lock.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from common.errors import FacegridError

log = logging.getLogger("facegrid.duty")


async def in_turns(
    name: str, turn: Callable[[], Awaitable[float]], leading: Callable[[], bool], pause_s: float
) -> None:
    """Take turns while this gateway leads (or may), until cancelled. `turn` says how long to pause after it, s; after a
    failure, and while another leads, it is `pause_s`."""
    while True:
        wait_s = pause_s
        if leading():
            try:
                wait_s = await turn()
            except FacegridError as error:
                log.warning("%s goes on later. %s", name, error.detail)
            # Whatever it is: the loop must not end, or a gateway that leads would neglect the duty unnoticed.
            except Exception as error:
                log.error("%s failed", name, exc_info=error)
        await asyncio.sleep(wait_s)
