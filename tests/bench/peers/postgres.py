"""pgvector, on a PostgreSQL server that answers: HNSW over everything, one partition a store for searches of one store.

The server is somebody else's, with its own settings, fsync among them. What a session asks of it is what
pgvector's manual advises: memory and workers for the build. The client is psycopg 3, binary, with prepared statements.
"""

from __future__ import annotations

import contextlib
from typing import Any

from common.types import Vectors
from tests.bench.peers import CORES, EFFORTS, Ordinary, Positions, by_store, lacking, library, positions

BUILD_MEMORY = "2GB"
"""a graph of a million rows fits; one that does not is built several times slower"""
EVERYWHERE = "SELECT id FROM facegrid_bench ORDER BY row <=> %b LIMIT 1"
AT_HOME = "SELECT id FROM facegrid_bench_stores WHERE store = %b ORDER BY row <=> %b LIMIT 1"


class PgVector(Ordinary):
    """`server`: a libpq connection string; empty: there is none. Its tables are made anew, and dropped at the end.

    Ingest is the COPY and the graph; the partitions, which hold the rows a second time, are counted by themselves: a
    graph over a partitioned table would be one graph a store.
    """

    knob = "hnsw.ef_search"
    efforts = EFFORTS

    def __init__(self, name: str, server: str, links: int = 16) -> None:
        self.name, self._server, self._links = name, server, links
        self._ef = self.efforts[0]
        self._own: PgClient | None = None

    def available(self) -> str | None:
        if not self._server:
            return "no server was named (--postgres)"
        return lacking("psycopg", "pgvector") or self._refusal()

    def _refusal(self) -> str | None:
        psycopg = library("psycopg")
        try:
            with psycopg.connect(self._server) as connection:
                connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        except psycopg.Error as error:
            return str(error).strip().partition("\n")[0]
        return None

    def fill(self, rows: Vectors, stores: Positions) -> None:
        d, links = rows.shape[1], self._links
        with self._connected() as connection:
            connection.execute("DROP TABLE IF EXISTS facegrid_bench")
            connection.execute(f"CREATE TABLE facegrid_bench (id bigint, store int, row vector({d}))")
            with connection.cursor().copy("COPY facegrid_bench FROM STDIN (FORMAT BINARY)") as copy:
                copy.set_types(["int8", "int4", "vector"])
                for place, (store, row) in enumerate(zip(stores.tolist(), rows, strict=True)):
                    copy.write_row((place, store, row))
            connection.execute(f"SET maintenance_work_mem = '{BUILD_MEMORY}'")
            connection.execute(f"SET max_parallel_maintenance_workers = {CORES}")
            how = f"(row vector_cosine_ops) WITH (m = {links})"
            connection.execute(f"CREATE INDEX ON facegrid_bench USING hnsw {how}")
            connection.execute("ANALYZE facegrid_bench")

    def fill_stores(self, rows: Vectors, stores: Positions) -> None:  # noqa: ARG002  # the server has them by now
        table = "facegrid_bench_stores"
        with self._connected() as connection:
            connection.execute(f"DROP TABLE IF EXISTS {table}")
            connection.execute(f"CREATE TABLE {table} (LIKE facegrid_bench) PARTITION BY LIST (store)")
            for store, _ in by_store(stores):
                connection.execute(f"CREATE TABLE {table}_{store} PARTITION OF {table} FOR VALUES IN ({store})")
            connection.execute(f"INSERT INTO {table} SELECT * FROM facegrid_bench")  # noqa: S608  # names of ours
            connection.execute(f"ANALYZE {table}")

    def _connected(self) -> Any:
        connection = library("psycopg").connect(self._server, autocommit=True)
        library("pgvector.psycopg").register_vector(connection)
        return connection

    def use(self, effort: int) -> None:
        self._ef = effort

    def client(self) -> PgClient:
        return PgClient(self._server, self._ef)

    def close(self) -> None:
        if lacking("psycopg") or not self._server:
            return
        with contextlib.closing(self._connected()) as connection:
            connection.execute("DROP TABLE IF EXISTS facegrid_bench")
            connection.execute("DROP TABLE IF EXISTS facegrid_bench_stores")


class PgClient:
    """One connection. Plans are made anew for each search of a store: a kept plan opens every partition."""

    def __init__(self, server: str, ef: int) -> None:
        self._server, self._ef = server, ef
        self._connection: Any = None

    def _rows(self, sql: str, *values: object) -> int:
        if self._connection is None:
            self._connection = library("psycopg").connect(self._server, autocommit=True)
            library("pgvector.psycopg").register_vector(self._connection)
            self._connection.execute(f"SET hnsw.ef_search = {self._ef}")
            self._connection.execute("SET plan_cache_mode = force_custom_plan")
        return int(self._connection.execute(sql, values, prepare=True, binary=True).fetchone()[0])

    def search_all(self, probes: Vectors) -> Positions:
        return positions(self._rows(EVERYWHERE, probe) for probe in probes)

    def search_store(self, probes: Vectors, stores: Positions) -> Positions:
        return positions(self._rows(AT_HOME, *each) for each in zip(stores.tolist(), probes, strict=True))

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
