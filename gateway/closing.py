"""What a store that is to be deleted has left at others: its people were seen there, and members have faces here.

Those faces are erased one page after the other as any face is, so that their visits elsewhere stay counted under names
that lead nowhere, staff stay staff, and no member's list names them. All the other faces go with the store's keys. So
do the jobs of faces that went before, which is why the store cannot be deleted while one of them was not done once.
"""

from __future__ import annotations

from common.cluster_map import StoreConfig
from common.errors import ErasureUnfinished
from common.ledger import Delete, Ledger
from common.rekeys import Rekeys
from gateway.catalogue import Catalogue
from gateway.rekeying import Rekeying

PAGE = 200
ATTEMPTS = 3
"""at a store where others go on erasing"""


class Closing:
    def __init__(self, ledger: Ledger, rekeys: Rekeys, rekeying: Rekeying, catalogue: Catalogue) -> None:
        self._ledger = ledger
        self._rekeys = rekeys
        self._rekeying = rekeying
        self._catalogue = catalogue

    async def delete(self, store: StoreConfig, *, force: bool) -> None:
        """Raises UnknownStore, StoreNotEmpty (unless `force`), ErasureUnfinished, PendingFull, Conflict,
        TruthUnavailable; repeating it goes on where it stopped."""
        for attempt in range(ATTEMPTS):
            if force:
                await self._clear(store)
            try:
                return await self._catalogue.delete(store.store, force=force)
            except ErasureUnfinished:
                if attempt == ATTEMPTS - 1:
                    raise
                await self._rekeying.follow_up_all(store.store)
        raise AssertionError("the last attempt returns or raises")

    async def _clear(self, store: StoreConfig) -> None:
        """Erase the faces that are known elsewhere."""
        while page := (await self._rekeys.known_elsewhere(store.store))[:PAGE]:
            known = await self._rekeying.known(store.store, page)
            await self._ledger.commit(store.store, store.incarnation, deletes=[Delete(face_id) for face_id in page])
            await self._rekeying.follow_up(store.store, known)
