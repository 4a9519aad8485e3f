"""Every peer there is, in the order of the table. Two of a kind: as it ships, and with a graph that reaches further."""

from __future__ import annotations

from collections.abc import Sequence

from tests.bench.peers import Peer
from tests.bench.peers.facegrid import BATCH, Facegrid
from tests.bench.peers.faiss_flat import FaissFlat
from tests.bench.peers.hnsw import Hnswlib
from tests.bench.peers.milvus import MilvusLite
from tests.bench.peers.postgres import PgVector
from tests.bench.peers.qdrant import QdrantEdge
from tests.bench.peers.rpc import FaissRpc
from tests.bench.peers.tutorial import Tutorial

IVF = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
REFINED = (10, 20, 50, 100, 150, 200, 400)
MORE_LINKS = 24
ABSENT = {
    "distributed-faiss": "pip finds no such package, and it is for non-commercial use only; faiss-rpc stands in for it"
}


def peers(postgres: str = "") -> list[Peer]:
    """New ones, which hold nothing yet. `postgres`: a libpq connection string of the server for pgvector."""
    return [
        FaissFlat(),
        FaissRpc("faiss-rpc-ivf", "IVF{lists},Flat", "nprobe", IVF),
        FaissRpc("faiss-rpc-fastscan", "PQ64x4fs,RFlat", "k_factor_rf", REFINED),
        Tutorial("flask"),
        Tutorial("waitress"),
        Hnswlib("hnswlib"),
        Hnswlib(f"hnswlib-m{MORE_LINKS}", MORE_LINKS),
        QdrantEdge("qdrant-edge"),
        QdrantEdge(f"qdrant-edge-m{MORE_LINKS}", MORE_LINKS),
        MilvusLite(),
        PgVector("pgvector", postgres),
        PgVector(f"pgvector-m{MORE_LINKS}", postgres, MORE_LINKS),
        Facegrid("facegrid"),
        Facegrid("facegrid-batch", BATCH),
    ]


def named(chosen: str, everyone: Sequence[str]) -> list[str]:
    """`all`, or names with commas; a name also chooses its variants: `hnswlib` is `hnswlib` and `hnswlib-m24`.

    Raises ValueError for a name that chooses nobody.
    """
    wanted = [name.strip() for name in chosen.split(",")]
    if wanted == ["all"]:
        return list(everyone)
    unknown = [want for want in wanted if not any(_chooses(want, name) for name in everyone)]
    if unknown:
        raise ValueError(f"no such peer: {', '.join(unknown)}; there are {', '.join(everyone)}")
    return [name for name in everyone if any(_chooses(want, name) for want in wanted)]


def _chooses(want: str, name: str) -> bool:
    return name == want or name.startswith(f"{want}-")
