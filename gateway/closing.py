"""What a store that is to be deleted has left at others: its people were seen there, and members have faces here.

Those faces are erased one page after the other as any face is, so that their visits elsewhere stay counted under names
that lead nowhere, staff stay staff, and no member's list names them. All the other faces go with the store's keys.
"""

from __future__ import annotations

from common.cluster_map import StoreConfig
from common.ledger import Delete, Ledger
from common.rekeys import Rekeys
from gateway.rekeying import Rekeying

PAGE = 200


class Closing:
    def __init__(self, ledger: Ledger, rekeys: Rekeys, rekeying: Rekeying) -> None:
        self._ledger = ledger
        self._rekeys = rekeys
        self._rekeying = rekeying

    async def clear(self, store: StoreConfig) -> None:
        """Erase the faces that are known elsewhere. Raises UnknownStore, PendingFull, TruthUnavailable; repeating it
        goes on where it stopped."""
        while page := (await self._rekeys.known_elsewhere(store.store))[:PAGE]:
            known = await self._rekeying.known(store.store, page)
            await self._ledger.commit(store.store, store.incarnation, deletes=[Delete(face_id) for face_id in page])
            await self._rekeying.follow_up(store.store, known)
