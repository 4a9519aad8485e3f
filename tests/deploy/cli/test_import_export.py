"""`facegrid import` and `export` against a real cluster: files of each kind, repeated, cut short, refused."""

from __future__ import annotations

import io
import json
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from typer.testing import CliRunner

from deploy.cli.app import app
from deploy.client import face_files
from deploy.client.bulk import exported, few_at_once
from deploy.client.face_files import Package, read_faces
from deploy.client.face_writers import writing
from deploy.client.http import Client, ClientError
from deploy.local.cluster import LocalCluster
from deploy.local.embedded_redis import free_port
from tests.deploy.client.faults import client_of
from tests.gateway.in_process import unit

pytestmark = pytest.mark.cluster

ROWS = unit(1, 7)
NAMES = ["ada", "ada", "bob", "eve", "eve", "eve", "joe"]
KINDS = ["member", "member", "visitor", "staff", "staff", "staff", "visitor"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEGRID_ENCODER_WORKERS", "0")
        with LocalCluster(tmp_path_factory.mktemp("cluster"), shards=1, port=free_port()) as running:
            yield running


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[Client]:
    """Of an empty cluster."""
    with Client(cluster.url, cluster.key) as found:
        for body in found.stores():
            found.delete_store(body["store"], force=True)
        yield found


def facegrid(cluster: LocalCluster, *arguments: object, code: int = 0) -> str:
    environment = {"FACEGRID_URL": cluster.url, "FACEGRID_KEY": cluster.key, "COLUMNS": "80"}
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], env=environment)
    assert done.exit_code == code, done.output
    return done.output


def digests(client: Client) -> dict[str, str]:
    """store → digest, of what the shards have in memory."""
    urls = [replica["url"] for shard in client.shards() for replica in shard["replicas"]]
    found: dict[str, str] = {}
    for url in urls:
        served = httpx.get(f"{url}/status", params={"digest": True}, trust_env=False).json()["stores"]
        found |= {store: view["digest"] for store, view in served.items()}
    return found


def templates(client: Client, store: str) -> dict[str, int]:
    return {face["face_id"]: face["templates"] for face in client.faces(store)}


def write(path: Path, **arrays: Any) -> Path:
    """An npz, or a parquet file with the same columns."""
    if path.suffix == ".npz":
        np.savez(path, **arrays)
        return path
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed (the extra `parquet`)")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = {name: list(np.asarray(column)) for name, column in arrays.items()}
    parquet.write_table(arrow.table(columns), path)
    return path


@pytest.mark.parametrize("suffix", ["npz", "parquet", "ndjson"])
def test_stores_exported_and_imported_elsewhere_are_the_same(
    cluster: LocalCluster, client: Client, tmp_path: Path, suffix: str
) -> None:
    if suffix == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed (the extra `parquet`)")
    stores = ["vienna"] * 3 + ["graz"] * 4
    first = write(tmp_path / "in.npz", embeddings=ROWS, face_ids=NAMES, kinds=KINDS, stores=stores, photos=[9] * 7)
    said = facegrid(cluster, "import", first, "--create-stores")
    assert "new faces" in said
    assert "4 faces in " in said
    assert (templates(client, "vienna"), templates(client, "graz")) == ({"ada": 2, "bob": 1}, {"eve": 3, "joe": 1})
    before = digests(client)

    file = tmp_path / f"all.{suffix}"
    assert "stores: 2" in facegrid(cluster, "export", file, "--all")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    for store in ("vienna", "graz"):
        client.delete_store(store, force=True)
    facegrid(cluster, "import", file, "--create-stores")
    assert digests(client) == before
    assert "there already, left alone" in facegrid(cluster, "import", file)
    lines, _ = client.export_page("graz", "0")
    assert {json.loads(line)["photos"] for line in lines.splitlines()} == {9}


def test_one_store_is_exported_and_imported_into_another(cluster: LocalCluster, client: Client, tmp_path: Path) -> None:
    client.put_store("a")
    client.put_store("b")
    facegrid(cluster, "import", write(tmp_path / "in.npz", embeddings=ROWS), "--store", "a")
    file = tmp_path / "a.ndjson"
    facegrid(cluster, "export", file, "--store", "a")
    facegrid(cluster, "import", file, "--store", "b")
    found = digests(client)
    assert found["a"] == found["b"]
    assert len(templates(client, "b")) == 7


def test_many_packages_are_sent_and_a_repetition_finds_all_of_it(
    cluster: LocalCluster, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(face_files, "PACKAGE_FACES", 40)
    monkeypatch.setattr(face_files, "PARQUET_ROWS", 70)
    monkeypatch.setattr(face_files, "BUFFERED_BYTES", 40_000)
    stores = np.array([f"s{n % 3}" for n in range(300)])
    file = write(tmp_path / "in.npz", embeddings=unit(3, 300), stores=stores)
    assert "300 faces in" in facegrid(cluster, "import", file, "--create-stores")
    again = facegrid(cluster, "import", file)
    assert "there already, left alone" in again
    assert {len(templates(client, f"s{n}")) for n in range(3)} == {100}
    lines = tmp_path / "all.ndjson"
    facegrid(cluster, "export", lines, "--all")
    assert "there already, left alone" in facegrid(cluster, "import", lines)


@pytest.mark.usefixtures("client")
def test_a_refused_row_is_named_as_the_file_counts_it_and_the_rest_can_go_on(
    cluster: LocalCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(face_files, "PACKAGE_FACES", 5)
    rows = unit(4, 12)
    rows[7] = 0
    stores = ["odd", "even"] * 6
    said = facegrid(
        cluster, "import", write(tmp_path / "z.npz", embeddings=rows, stores=stores), "--create-stores", code=1
    )
    assert "Row 7: embedding[0] is the zero vector. [ZERO_VECTOR]" in said
    assert "Not finished" not in said
    lines = [json.dumps({"embedding": row.tolist()}) for row in rows]
    (tmp_path / "z.ndjson").write_text("\n\n".join(lines))
    said = facegrid(cluster, "import", tmp_path / "z.ndjson", "--store", "odd", code=1)
    assert "Line 15: embedding[0] is the zero vector. [ZERO_VECTOR]" in said
    (tmp_path / "z.ndjson").write_text('{"store": "odd", "embedding": [1]}\n{"embedding": [1], "store": "a b"}\n')
    assert "Line 2: the store's name must be" in facegrid(cluster, "import", tmp_path / "z.ndjson", code=1)


def test_a_store_that_is_missing_is_said_unless_it_shall_be_created(
    cluster: LocalCluster, client: Client, tmp_path: Path
) -> None:
    file = write(tmp_path / "in.npz", embeddings=ROWS)
    assert "Store new does not exist; --create-stores" in facegrid(cluster, "import", file, "--store", "new", code=1)
    assert "name one with --store" in facegrid(cluster, "import", file, code=1)
    assert "Store new does not exist." in facegrid(cluster, "export", tmp_path / "x.npz", "--store", "new", code=1)
    assert not (tmp_path / "x.npz").exists()
    assert client.stores() == []


def test_stores_of_no_faces_make_files_without_rows(cluster: LocalCluster, client: Client, tmp_path: Path) -> None:
    client.put_store("a")
    for suffix in ("npz", "ndjson"):
        assert "stores: 1" in facegrid(cluster, "export", tmp_path / f"x.{suffix}", "--all")
        assert "0 faces in" in facegrid(cluster, "import", tmp_path / f"x.{suffix}")


def test_what_is_asked_for_wrongly_is_said(cluster: LocalCluster, tmp_path: Path) -> None:
    (tmp_path / "x.csv").touch()
    assert "is not one of .npz, .parquet, .ndjson" in facegrid(cluster, "import", tmp_path / "x.csv", code=1)
    assert "is not one of .npz, .parquet, .ndjson" in facegrid(cluster, "export", tmp_path / "x.csv", "--all", code=1)
    facegrid(cluster, "export", tmp_path / "x.npz", code=2)
    facegrid(cluster, "export", tmp_path / "x.npz", "--all", "--store", "a", code=2)
    facegrid(cluster, "export", tmp_path / "x.npz", "--store", "a b", code=2)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"face_ids": NAMES}, "no two-dimensional embeddings"),
        ({"embeddings": ROWS[:, :0]}, "embeddings without a number"),
        ({"embeddings": ROWS, "face_ids": NAMES[:3]}, "face_ids has 3 rows, not 7"),
        ({"embeddings": np.array([None])}, "cannot be read as an npz"),
        ({"embeddings": ROWS, "kinds": np.array("staff")}, "kinds has 0 dimensions"),
        ({"embeddings": ROWS, "stores": [["a"]] * 7}, "stores has 2 dimensions"),
        ({"embeddings": ROWS, "stores": ["a", "b", "c d", "a", "a", "a", "a"]}, "Row 2: the store's name"),
    ],
)
def test_an_npz_that_cannot_be_sent_is_said(tmp_path: Path, arrays: dict[str, Any], said: str) -> None:
    with pytest.raises(ClientError, match=said):
        list(read_faces(write(tmp_path / "x.npz", **arrays), None)[1])


def test_a_file_that_is_no_npz_is_said(tmp_path: Path) -> None:
    file = write(tmp_path / "x.npz", embeddings=ROWS)
    np.savez_compressed(tmp_path / "y.npz", embeddings=ROWS)
    packed = bytearray((tmp_path / "y.npz").read_bytes())
    packed[200:300] = bytes(100)
    with (tmp_path / "z.npz").open("wb") as array:
        np.save(array, ROWS)
    for content in (b"", b"nothing", file.read_bytes()[:-30], bytes(packed), (tmp_path / "z.npz").read_bytes()):
        file.write_bytes(content)
        with pytest.raises(ClientError, match=r"x\.npz (is no npz file|cannot be read as an npz)"):
            read_faces(file, "a")


def rows_of(package: Package) -> tuple[list[str], list[int]]:
    """Its faces and the file's rows."""
    return np.load(io.BytesIO(package.body))["face_ids"].tolist(), list(package.places)


@pytest.mark.parametrize("suffix", ["npz", "parquet"])
def test_the_rows_of_a_face_leave_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    """`photos` is the whole face's: sent in two requests it would count twice."""
    monkeypatch.setattr(face_files, "PACKAGE_FACES", 2)
    monkeypatch.setattr(face_files, "PARQUET_ROWS", 4)
    file = write(tmp_path / f"x.{suffix}", embeddings=unit(1, 8), face_ids=["a", "b", "a", "c", "c", "c", "c", "d"])
    sent = [rows_of(package) for package in read_faces(file, "s")[1]]
    assert sorted(sent) == [
        (["a", "a"], [0, 2]),
        (["b"], [1]) if suffix == "parquet" else (["b", "c", "c", "c", "c"], [1, 3, 4, 5, 6]),
        *([(["c"] * 4, [3, 4, 5, 6])] if suffix == "parquet" else []),
        (["d"], [7]),
    ]


def test_rows_of_one_face_that_are_too_many_are_sent_to_be_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "x.npz", embeddings=unit(1, 6000), face_ids=["a"] * 6000)
    assert [len(package.places) for package in read_faces(file, "s")[1]] == [2510, 2510, 980]


def test_stores_may_be_named_in_bytes(tmp_path: Path) -> None:
    file = write(tmp_path / "x.npz", embeddings=ROWS[:2], stores=np.array([b"a", b"b"]))
    assert [package.store for package in read_faces(file, None)[1]] == ["a", "b"]


def test_lines_that_name_no_store_are_said_and_odd_ones_are_left_to_the_gateway(tmp_path: Path) -> None:
    file = tmp_path / "x.ndjson"
    for line in ('{"store": null, "embedding": []}', '{"store": ' + "[" * 100_000, '{"labels": {"store": "a"}}'):
        file.write_text(line)
        with pytest.raises(ClientError, match="Line 1 does not say which store"):
            list(read_faces(file, None)[1])
        assert [package.store for package in read_faces(file, "b")[1]] == ["b"]
    file.write_text('{"embedding": [], "store": "a b"}')
    assert [package.store for package in read_faces(file, "b")[1]] == ["b"]


def test_a_file_that_lies_in_the_way_neither_sees_nor_steers_an_export(tmp_path: Path) -> None:
    (tmp_path / ".x.ndjson.part").symlink_to(tmp_path / "elsewhere")
    with writing(tmp_path / "x.ndjson") as writer:
        writer.add("a", [b'{"face_id": "ada"}'])
    assert not (tmp_path / "elsewhere").exists()
    assert stat.S_IMODE((tmp_path / "x.ndjson").lstat().st_mode) == 0o600


def test_an_export_that_ends_early_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    file = tmp_path / "x.ndjson"
    file.write_text("before")

    def cut_short() -> None:
        with writing(file) as writer:
            writer.add("a", [b"{}"])
            raise ClientError("gone")

    with pytest.raises(ClientError):
        cut_short()
    assert [path.name for path in tmp_path.iterdir()] == ["x.ndjson"]
    assert file.read_text() == "before"


def test_parquet_rows_that_are_null_or_of_other_lengths_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(face_files, "PARQUET_ROWS", 3)
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed (the extra `parquet`)")
    parquet = pytest.importorskip("pyarrow.parquet")
    for columns, said in (
        ({"embeddings": [[1.0]] * 5 + [[1.0, 2.0]]}, "Row 5: embeddings has 2 numbers, not 1"),
        ({"embeddings": [[1.0]] * 4 + [None]}, "Row 4: embeddings is null"),
        ({"embeddings": [[1.0]] * 4, "face_ids": ["a", "b", "c", None]}, "Row 3: face_ids is null"),
        ({"vectors": [[1.0]]}, "no column embeddings"),
    ):
        parquet.write_table(arrow.table(columns), tmp_path / "x.parquet")
        with pytest.raises(ClientError, match=said):
            list(read_faces(tmp_path / "x.parquet", "a")[1])
    (tmp_path / "x.parquet").write_bytes(b"nothing of the kind")
    with pytest.raises(ClientError, match="cannot be read as parquet"):
        read_faces(tmp_path / "x.parquet", "a")


def test_without_pyarrow_a_parquet_file_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> None:
        raise ImportError

    monkeypatch.setattr("importlib.import_module", missing)
    with pytest.raises(ClientError, match=r"\.venv/bin/pip install pyarrow"):
        read_faces(tmp_path / "x.parquet", "a")


def test_after_a_failure_nothing_more_is_begun() -> None:
    begun: list[int] = []

    def work(task: int) -> int:
        begun.append(task)
        if task == 3:
            raise ClientError("refused")
        return task

    done: list[int] = []
    with pytest.raises(ClientError):
        done += few_at_once(work, iter(range(1000)), 2)
    assert len(begun) < 10


def test_what_was_in_flight_at_a_failure_is_told_before_it_is_raised() -> None:
    failing = threading.Event()

    def work(task: int) -> int:
        if task == 0:
            failing.set()
            raise ClientError("refused")
        assert failing.wait(10)
        return task

    told: list[int] = []
    with pytest.raises(ClientError, match="refused"):
        told.extend(few_at_once(work, [0, 1], 2))
    assert told == [1]


def test_what_was_sent_before_a_row_that_cannot_be_read_is_told() -> None:
    def tasks() -> Iterator[int]:
        yield from range(2)
        raise ClientError("a bad row")

    told: list[int] = []
    with pytest.raises(ClientError, match="a bad row"):
        told.extend(few_at_once(lambda task: task, tasks(), 3))
    assert sorted(told) == [0, 1]


def test_a_face_that_comes_again_is_exported_once() -> None:
    """As where Redis is started again between two pages, and the list begins anew."""
    pages = {
        "0": (b'{"face_id": "a", "n": 1}\n{"face_id": "b", "n": 1}\n', "5b1f0c9e-7"),
        "5b1f0c9e-7": (b'{"face_id": "b", "n": 1}\n{"face_id": "a", "n": 1}\n', "0e2d4c6a-9"),
        "0e2d4c6a-9": (b'{"face_id": "a", "n": 1}\n{"face_id": "c", "n": 1}\n', ""),
    }

    def handler(request: httpx.Request) -> httpx.Response:
        content, following = pages[request.url.params["cursor"]]
        return httpx.Response(200, content=content, headers={"Facegrid-Cursor": following} if following else {})

    found = [json.loads(line)["face_id"] for lines in exported(client_of(handler), "A") for line in lines]
    assert found == ["a", "b", "c"]
