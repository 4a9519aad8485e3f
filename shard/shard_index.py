"""All stores of this replica: what is in memory, how far it has come, and one search over many of them.

Not locked: the follower writes under the gate while no search runs, searches read on threads in between. A store is
here only when it is wholly loaded; `searched` of a reply names exactly the stores that were. A store known to lack
acknowledged writes (`due`) is not searched until it has them.

Every search is exact today, so `exact` changes nothing. Codes that nominate over many stores at once belong here,
beside the galleries they are built from; `ranking.best` takes nominees from them instead.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

from common.cluster_map import StoreConfig
from common.errors import DeadlineExceeded, WrongSpace
from common.types import Candidate, KnownAs, StoreView, Vectors
from common.wire import Query, QueryReply
from shard.gallery import Gallery
from shard.ranking import best, probe_blocks


def same_creation(one: StoreConfig | ServedStore, other: StoreConfig) -> bool:
    """Whether rows of the one are rows of the other: a store deleted and created again shares only its name, one that
    changed its space also its faces."""
    return (one.incarnation, one.space) == (other.incarnation, other.space)


@dataclass(slots=True)
class ServedStore:
    """A store in memory, up to its feed's `version`."""

    incarnation: str
    space: str
    gallery: Gallery
    version: int
    due: int = 0
    """the version that searches must see: below it the store is served but not searched"""

    @property
    def view(self) -> StoreView:
        return StoreView(self.version, len(self.gallery))


@dataclass(frozen=True, slots=True)
class Usable:
    """What a batch of records means for a gallery: `rows` (n, d) of `face_ids` to put, the faces to drop, and who those
    are that are no visitors."""

    face_ids: list[str]
    rows: Vectors
    drops: list[str]
    known: dict[str, KnownAs]
    photos: list[int]
    """behind each of `rows`"""


class ShardIndex:
    def __init__(self) -> None:
        self._stores: dict[str, ServedStore] = {}

    def __contains__(self, store: str) -> bool:
        return store in self._stores

    def __iter__(self) -> Iterator[str]:
        return iter(self._stores)

    def __len__(self) -> int:
        return len(self._stores)

    def __getitem__(self, store: str) -> ServedStore:
        return self._stores[store]

    def views(self) -> dict[str, StoreView]:
        return {store: served.view for store, served in self._stores.items()}

    def version(self, store: str, incarnation: str) -> int:
        """The version applied; 0 for a store, or a creation of it, that is not served."""
        served = self._served(store, incarnation)
        return 0 if served is None else served.version

    def _served(self, store: str, incarnation: str) -> ServedStore | None:
        served = self._stores.get(store)
        return served if served is not None and served.incarnation == incarnation else None

    def install(self, store: str, served: ServedStore) -> None:
        self._stores[store] = served

    def remove(self, store: str) -> None:
        self._stores.pop(store, None)

    def apply(self, store: str, faces: Usable, version: int) -> None:
        """Put and drop rows of a served store, which is at `version` then. Raises ValueError like `Gallery.put`."""
        served = self._stores[store]
        served.gallery.put(faces.face_ids, faces.rows, faces.known, faces.photos)
        served.gallery.drop(faces.drops)
        served.version = version

    def search(self, query: Query, space: str, give_up_at: float = inf) -> QueryReply:
        """Search the stores asked for that are served here, as if they were one gallery.

        Raises WrongSpace if one of them has another embedding space or dimension, DeadlineExceeded once
        `time.monotonic()` passes `give_up_at`.
        """
        asked = ((store, self._served(store, incarnation)) for store, incarnation in query.stores.items())
        served = {store: one for store, one in asked if one is not None and one.version >= one.due}
        for store, one in served.items():
            _check_space(store, one, space, query.probes.shape[1])
        galleries = [(store, one.gallery) for store, one in served.items() if len(one.gallery)]
        candidates: list[tuple[Candidate, ...]] = []
        for block in probe_blocks(galleries, query.probes, query.top_k):
            if time.monotonic() >= give_up_at:
                raise DeadlineExceeded("The search ran out of time.")
            candidates += best(galleries, block, query.top_k)
        return QueryReply({store: one.view for store, one in served.items()}, tuple(candidates))


def _check_space(store: str, served: ServedStore, space: str, dimension: int) -> None:
    if space != served.space or dimension != served.gallery.dimension:
        detail = f"Store {store} holds {served.space} of {served.gallery.dimension} numbers"
        raise WrongSpace(f"{detail}, the probes are {space} of {dimension}.", field="space", limit=served.space)
