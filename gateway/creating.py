"""Commits that may create a face under an id that another one had.

Jobs of faces that are gone are kept by id (`common.rekeys`). One that was not done once would be lost if the face
created there were erased in its turn, or would give that one's visits away; so the ledger refuses to create it. Here
the job is done first.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeAlias

from common.cluster_map import StoreConfig
from common.errors import ErasureUnfinished
from common.ledger import Committed, Ledger, Put
from gateway.deadline import Deadline

ATTEMPTS = 3
"""one more than it takes: somebody may erase another face of the same chunk meanwhile"""

AtOnce: TypeAlias = Callable[[str, Mapping[str, None], Deadline], Awaitable[None]]
"""`Rekeying.at_once`: tries for a while, and never raises"""


class Creator:
    def __init__(self, ledger: Ledger, at_once: AtOnce) -> None:
        self._ledger = ledger
        self._at_once = at_once

    async def commit(
        self, store: StoreConfig, puts: Sequence[Put], deadline: Deadline, expected_version: int | None = None
    ) -> Committed:
        """Raises as `Ledger.commit` does: ErasureUnfinished where the job cannot be done now."""
        for attempt in range(ATTEMPTS):
            try:
                return await self._ledger.commit(
                    store.store, store.incarnation, puts=puts, expected_version=expected_version
                )
            except ErasureUnfinished as error:
                if attempt == ATTEMPTS - 1:
                    raise
                await self._at_once(store.store, dict.fromkeys(error.extra["face_ids"]), deadline)
        raise AssertionError("the last attempt returns or raises")
