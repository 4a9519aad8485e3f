"""All stores of one group and embedding space on this replica: their rows, and the codes over them.

A small group has no codes: it is scanned, which is exact. Whether there are any is the business of `shard.coder`; what
part of the rows a query asks about, and how nominees are found in it, of `shard.nominees`.
"""

from __future__ import annotations

from common.cluster_map import GroupView
from shard.codes import Codes
from shard.gallery import Gallery
from shard.recipe import FLAT
from shard.rows import Rows


class Group:
    def __init__(self, name: str, space: str, dimension: int) -> None:
        self.name = name
        self.space = space
        self.rows = Rows(dimension)
        self._nothing = Gallery(dimension)
        self.galleries: list[Gallery] = []
        """by number"""
        self.stores: list[str] = []
        """by number"""
        self.codes: Codes | None = None
        """over the rows; None: they are scanned"""
        self.given_up_at = 0
        """rows for which no codes could be built"""
        self.recall: float | None = None
        """of these codes against exact search, measured when they were built"""

    @property
    def dimension(self) -> int:
        return self.rows.dimension

    @property
    def present(self) -> list[Gallery]:
        return [gallery for gallery in self.galleries if gallery is not self._nothing]

    @property
    def view(self) -> GroupView:
        codes = self.codes
        if codes is None:
            return GroupView(self.name, self.space, self.rows.count, FLAT, 0)
        coded = self.rows.count - len(codes.fresh(self.rows))
        return GroupView(self.name, self.space, self.rows.count, codes.suited.spec, coded, self.recall)

    def admit(self, store: str, gallery: Gallery) -> None:
        """Take the gallery in, and its rows from wherever they lie."""
        free = (number for number, one in enumerate(self.galleries) if one is self._nothing)
        number = next(free, len(self.galleries))
        self.galleries[number : number + 1] = [gallery]
        self.stores[number : number + 1] = [store]
        gallery.move_to(self.rows, number)

    def forget(self, number: int) -> None:
        """Free the number of a gallery whose rows are not here any more."""
        self.galleries[number] = self._nothing
