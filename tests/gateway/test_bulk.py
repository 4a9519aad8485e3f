"""Many faces in one request: each as by itself, all checked before any is written, and nothing lost half way."""

from __future__ import annotations

import asyncio
import io
import json
import tracemalloc
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from common import keys
from common.cluster_map import StoreConfig
from common.errors import FacegridError, TruthUnavailable
from common.ledger import Committed, Ledger
from common.limits import MAX_BULK, MAX_MISFITS, MAX_TEMPLATES, json_bytes
from common.types import DLIB_SPACE, Kind, Vectors
from gateway import bulk
from gateway.bulk_body import read_arrays, read_lines
from tests.gateway.in_process import Cluster, cluster, unit
from tests.redis_server import Server

LINES, NPZ = "application/x-ndjson", "application/x-npz"
MOST = 32_000_000
HOME = StoreConfig("A", "s1")


@pytest.fixture
async def chain(redis_url: str) -> AsyncIterator[Cluster]:
    async with cluster(redis_url, shards=2) as running:
        await running.create("A")
        await running.create("B")
        yield running


def npz(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=True, **arrays)
    return stream.getvalue()


def lines(*faces: dict[str, Any]) -> bytes:
    return b"\n".join(json.dumps(face).encode() for face in faces)


def line(seed: int, face_id: str, **more: Any) -> dict[str, Any]:
    return {"face_id": face_id, "embedding": unit(seed)[0].tolist(), **more}


async def send(chain: Cluster, body: bytes, media_type: str = LINES, store: str = "A", **query: Any) -> httpx.Response:
    return await chain.http.post(
        f"/v1/stores/{store}/faces:batch", content=body, headers={"content-type": media_type}, params=query
    )


async def faces(chain: Cluster, store: str = "A") -> dict[str, dict[str, Any]]:
    listed = (await chain.http.get(f"/v1/stores/{store}/faces", params={"limit": 1000})).json()["faces"]
    return {face["face_id"]: face for face in listed}


async def digest(chain: Cluster, store: str) -> str:
    """Of the only replica that serves the store."""
    for host in ("s1-a", "s2-a"):
        async with httpx.AsyncClient(transport=chain.shards.apps[host]) as http:
            served = (await http.get(f"http://{host}/status", params={"digest": True})).json()["stores"]
        if store in served:
            return str(served[store]["digest"])
    raise AssertionError(f"nobody serves {store}")


async def best(chain: Cluster, probe: Vectors, store: str = "A") -> tuple[str, Any]:
    response = await chain.http.post(f"/v1/stores/{store}/search", json={"embeddings": probe.tolist()})
    candidate = response.json()["results"][0]["candidates"][0]
    return candidate["face_id"], candidate["score"]


async def test_an_npz_and_lines_enrol_the_same_faces_and_the_next_search_finds_them(chain: Cluster) -> None:
    rows, names = unit(1, 600), [f"f{n}" for n in range(600)]
    done = (await send(chain, npz(embeddings=rows, face_ids=np.array(names)), NPZ)).json()
    assert done == {
        "store": "A",
        "faces": 600,
        "created": 600,
        "updated": 0,
        "version": 600,
        "visible": True,
        "face_ids": names,
    }
    assert await best(chain, rows[599:]) == ("f599", pytest.approx(1, abs=1e-6))
    as_lines = lines(*({"face_id": n, "embedding": row.tolist()} for n, row in zip(names, rows, strict=True)))
    assert (await send(chain, as_lines, store="B")).json()["visible"]
    assert await digest(chain, "A") == await digest(chain, "B")


async def test_a_repetition_writes_nothing_and_what_is_new_is_added(chain: Cluster) -> None:
    first = lines(line(1, "ada", kind="member", labels={"door": "north"}), line(2, "bob"))
    await send(chain, first)
    again = (await send(chain, first)).json()
    assert (again["created"], again["updated"], again["version"], again["visible"]) == (0, 0, 2, True)
    more = lines(line(3, "ada"), line(2, "bob"), line(4, "eve"), line(2, "bo", kind="staff"))
    done = (await send(chain, more)).json()
    assert (done["created"], done["updated"], done["version"]) == (2, 1, 5)
    stored = await faces(chain)
    assert {name: face["templates"] for name, face in stored.items()} == {"ada": 2, "bob": 1, "eve": 1, "bo": 1}
    assert (stored["ada"]["kind"], stored["ada"]["labels"]) == ("member", {"door": "north"})


async def test_each_face_is_as_by_an_enrolment_of_its_own(chain: Cluster) -> None:
    one = unit(1, 3)
    await chain.enrol("A", one[:2], face_id="ada", kind="member")
    await chain.enrol("A", one[2:], face_id="ada")
    await send(chain, npz(embeddings=one[:2], face_ids=["ada"] * 2, kinds=["member"] * 2), NPZ, "B")
    await send(chain, npz(embeddings=one[2:], face_ids=np.array([b"ada"])), NPZ, "B")
    assert await digest(chain, "A") == await digest(chain, "B")
    assert (await faces(chain, "B"))["ada"]["templates"] == 3


async def test_a_face_without_a_name_gets_the_same_one_each_time_and_another_elsewhere(chain: Cluster) -> None:
    body = npz(embeddings=unit(1, 3))
    first, again, other = [(await send(chain, body, NPZ, store)).json() for store in ("A", "A", "B")]
    assert first["face_ids"] == again["face_ids"]
    assert (first["created"], again["created"]) == (3, 0)
    assert not set(first["face_ids"]) & set(other["face_ids"])


async def test_the_photos_behind_an_embedding_count_for_the_threshold(chain: Cluster) -> None:
    await send(chain, lines(line(1, "ada", photos=5), line(2, "bob", photos=1), line(3, "eve")))
    await send(chain, lines(line(4, "ada", photos=3)))
    for seed, photos in ((1, 8), (2, 1), (3, 1)):
        found = (await chain.http.post("/v1/stores/A/search", json={"embeddings": unit(seed).tolist()})).json()
        assert found["results"][0]["candidates"][0]["photos"] == photos


async def test_committed_does_not_wait_for_the_shards(chain: Cluster) -> None:
    chain.shards.apps.clear()
    done = (await send(chain, lines(line(1, "ada")), wait="committed")).json()
    assert (done["created"], done["visible"]) == (1, False)


async def test_a_single_template_is_kept_once_and_records_from_before_are_read(chain: Cluster, redis: Redis) -> None:
    two = unit(1, 2)
    await send(chain, lines(line(1, "ada"), {"face_id": "bob", "embeddings": two.tolist()}))
    assert await redis.hkeys(keys.templates("A")) == [b"bob"]
    await redis.hset(keys.templates("A"), "ada", unit(1).tobytes())  # as they were written
    assert (await send(chain, lines(line(1, "ada")))).json()["updated"] == 0
    assert (await send(chain, lines(line(5, "ada")))).json()["updated"] == 1
    listed = (await chain.http.get("/v1/stores/A/faces/ada/templates")).json()["templates"]
    assert len(listed) == 2


def bad(seed: int) -> list[float]:
    row = unit(seed)[0].tolist()
    return [*row[:-1], 1e300]


GOOD = line(1, "ada")


@pytest.mark.parametrize(
    ("body", "status", "at", "field"),
    [
        (lines(GOOD, line(2, "ada")), 422, 2, "face_id"),
        (lines(GOOD, line(2, "a b")), 422, 2, "face_id"),
        (lines(GOOD, {"face_id": "bob"}), 422, 2, "embeddings"),
        (lines(GOOD, line(2, "bob", embeddings=[[1.0]])), 422, 2, "embeddings"),
        (lines(GOOD, {"embedding": [1.0]}), 422, 2, "embeddings[0]"),
        (lines(GOOD, {"embedding": bad(2)}), 422, 2, "embedding"),
        (lines(GOOD, {"embedding": [0.0] * 128}), 422, 2, "embedding"),
        (lines(GOOD, {"embeddings": [unit(1)[0].tolist()] * 11}), 422, 2, "embeddings"),
        (lines(GOOD, line(2, "bob", kind="king")), 422, 2, "kind"),
        (lines(GOOD, line(2, "bob", photos=0)), 422, 2, "photos"),
        (lines(GOOD, line(2, "bob", labels={"a b": "x"})), 422, 2, "labels"),
        (lines(GOOD, line(2, "bob", thumbnail="x")), 422, 2, "thumbnail"),
        (lines(GOOD, line(2, "bob", member_id="x" * json_bytes(MAX_TEMPLATES * 128))), 413, 2, "body"),
        (lines(GOOD, {f"{nth:x}": 0 for nth in range(MAX_MISFITS + 1)}), 422, 2, "body"),
        (lines(GOOD) + b"\n\n{'a'}", 400, 3, "body"),
        (b"\n \n", 422, None, "body"),
    ],
)
def test_a_bad_line_is_named_with_its_field(body: bytes, status: int, at: int | None, field: str) -> None:
    with pytest.raises(FacegridError) as refused:
        read_lines(body, HOME)
    error = refused.value
    assert (error.status, error.extra.get("line"), error.field) == (status, at, field)
    assert at is None or error.detail.startswith(f"Line {at}: ")


ROWS = unit(1, 3)
NAMES = np.array(["a", "b", "c"])


def entry(name: str, content: bytes, method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.writestr(name, content)
    return stream.getvalue()


def header(shape: str, descr: str = "<f4") -> bytes:
    said = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + len(said).to_bytes(2, "little") + said


def changed(body: bytes, mark: bytes, *patches: int | bytes) -> bytes:
    """With other bytes at places behind the mark: place, bytes, place, bytes."""
    found, at = bytearray(body), body.rindex(mark)
    for place, content in zip(patches[::2], patches[1::2], strict=True):
        assert isinstance(place, int)
        assert isinstance(content, bytes)
        found[at + place : at + place + len(content)] = content
    return bytes(found)


@pytest.mark.parametrize(
    ("body", "status", "row", "field"),
    [
        (npz(embeddings=ROWS, face_ids=NAMES[:2]), 422, None, "face_ids"),
        (npz(embeddings=ROWS[:, :5]), 422, None, "embeddings"),
        (npz(embeddings=ROWS[0]), 422, None, "embeddings"),
        (npz(embeddings=ROWS.astype(np.int32)), 422, None, "embeddings"),
        (npz(embeddings=ROWS[:0]), 422, None, "body"),
        (npz(embeddings=ROWS * [[1], [1], [np.nan]], face_ids=NAMES), 422, 2, "embedding"),
        (npz(embeddings=ROWS * [[1], [0], [1]], face_ids=NAMES), 422, 1, "embedding"),
        (npz(embeddings=ROWS, face_ids=np.array(["a", "", "c"])), 422, 1, "face_ids"),
        (npz(embeddings=ROWS, face_ids=np.array([b"a", b"b", b"\xff"])), 422, None, "face_ids"),
        (npz(embeddings=ROWS, kinds=np.array(["staff", "king", "staff"])), 422, 1, "kinds"),
        (npz(embeddings=ROWS, photos=np.array([1, 2, 256])), 422, 2, "photos"),
        (npz(embeddings=ROWS, face_ids=["a"] * 3, kinds=["staff", "staff", "member"]), 422, 0, "kinds"),
        (npz(embeddings=unit(1, 12), face_ids=["z"] + ["a"] * 11), 422, 1, "embeddings"),
        (npz(face_ids=NAMES), 422, None, "embeddings"),
        (npz(embeddings=ROWS, labels=NAMES), 422, None, "labels"),
        (npz(embeddings=np.array([None, "gone"], dtype=object)), 422, None, "embeddings"),
        (b"not a zip", 400, None, "body"),
        (npz(embeddings=ROWS)[:-40], 400, None, "body"),
        (entry("embeddings.npy", b"no array"), 400, None, "embeddings"),
        (entry("embeddings.npy", header("(1000000000000, 128)")), 400, None, "embeddings"),
        (entry("embeddings.npy", header("(-1, 128)")), 400, None, "embeddings"),
        (entry("face_ids.npy", header("(3,)", "<U0")), 400, None, "face_ids"),
        (entry("embeddings.npy", header("(3, 128)"), zipfile.ZIP_BZIP2), 400, None, "embeddings"),
        (entry("embeddings.npy", header(f"({'1, ' * 70})") + bytes(4)), 400, None, "embeddings"),
        (entry("embeddings.npy", header(f"(0, {2**70})")), 400, None, "embeddings"),
        (
            changed(npz(embeddings=ROWS), b"PK\x01\x02", 9, b"\x08", 46, b"\xff"),
            400,
            None,
            "body",
        ),  # a name of no UTF-8
        (changed(npz(embeddings=ROWS), b"PK\x03\x04", 7, b"\x08", 30, b"\xff"), 400, None, "body"),
        (changed(npz(embeddings=ROWS), b"PK\x05\x06", 16, b"\xff\xff\xff\x7f"), 400, None, "body"),  # lists it nowhere
        (entry("embeddings.npy", bytes(40_000_000), zipfile.ZIP_DEFLATED), 413, None, "body"),
    ],
)
def test_a_bad_npz_is_refused_with_the_row_and_the_field(body: bytes, status: int, row: int | None, field: str) -> None:
    with pytest.raises(FacegridError) as refused:
        read_arrays(body, HOME, MOST)
    error = refused.value
    assert (error.status, error.extra.get("row"), error.field) == (status, row, field)


@pytest.mark.parametrize(
    ("rows", "width", "wrong", "field", "limit"),
    [
        (1_000_000, 0, "spaces", "embeddings", 128),
        (3, 129, "spaces", "embeddings", 128),
        (MAX_BULK + 1, 128, "spaces", "faces", MAX_BULK),
        (MAX_BULK + 1, 128, "kinds", "faces", MAX_BULK),
        (MAX_BULK * MAX_TEMPLATES + 1, 128, "face_ids", "embeddings", MAX_BULK * MAX_TEMPLATES),
    ],
)
def test_rows_of_another_width_and_too_many_are_refused_before_anything_is_made_of_each(
    rows: int, width: int, wrong: str, field: str, limit: int
) -> None:
    """Each row has something else wrong, which would be found by a look at it."""
    arrays = {"embeddings": np.ones((rows, width), np.float16), wrong: np.full(rows, b"!")}
    with pytest.raises(FacegridError) as refused:
        read_arrays(npz(**arrays), HOME, MOST)
    error = refused.value
    assert (error.field, error.limit, error.extra) == (field, limit, {})


def test_a_field_that_the_caller_made_up_is_not_told_back_at_any_length() -> None:
    with pytest.raises(FacegridError) as refused:
        read_lines(lines(line(1, "ada", **{"k" * 100_000: 1})), HOME)
    assert len(json.dumps(refused.value.problem())) < 1000


def test_lines_without_anything_cost_no_memory() -> None:
    body = b"\n" * 1_000_000
    tracemalloc.start()
    try:
        with pytest.raises(FacegridError, match="no face"):
            read_lines(body, HOME)
        assert tracemalloc.get_traced_memory()[1] < 4 * len(body)
    finally:
        tracemalloc.stop()


async def test_what_is_refused_for_one_face_changes_nothing(chain: Cluster) -> None:
    opposite = {"embeddings": [unit(1)[0].tolist(), (-unit(1)[0]).tolist()]}
    for body, media_type, place in (
        (lines(GOOD, line(2, "a b")), LINES, {"line": 2}),
        (npz(embeddings=ROWS * [[1], [0], [1]]), NPZ, {"row": 1}),
        (lines(GOOD, opposite), LINES, {"line": 2}),  # known only when it is combined with what is there
    ):
        problem = (await send(chain, body, media_type)).json()
        assert (problem["status"], problem | place) == (422, problem)
    assert await faces(chain) == {}


def test_what_unpacks_to_more_than_it_says_is_unpacked_no_further() -> None:
    bomb = bytearray(entry("embeddings.npy", bytes(3_000_000), zipfile.ZIP_DEFLATED))
    said = (3_000_000).to_bytes(4, "little")
    while (at := bomb.find(said)) >= 0:
        bomb[at : at + 4] = (1000).to_bytes(4, "little")
    with pytest.raises(FacegridError, match="no npz"):
        read_arrays(bytes(bomb), HOME, MOST)


def test_a_zip_of_a_million_entries_is_not_listed() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for nth in range(50):
            archive.writestr(f"{nth}", b"")
    with pytest.raises(FacegridError, match="too many entries"):
        read_arrays(stream.getvalue(), HOME, MOST)


@given(st.data())
def test_an_npz_damaged_anywhere_is_read_or_refused(data: st.DataObject) -> None:
    body = bytearray(npz(embeddings=ROWS, face_ids=NAMES))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert len(read_arrays(bytes(body), HOME, MOST).faces) <= 3
    except FacegridError:
        return


@settings(max_examples=50)
@given(st.lists(st.text(max_size=40) | st.just(json.dumps(GOOD)), max_size=5))
def test_lines_of_anything_are_read_or_refused(texts: list[str]) -> None:
    try:
        assert len(read_lines("\n".join(texts).encode(errors="surrogatepass"), HOME).faces) == 1
    except FacegridError:
        return


def test_arrays_may_lie_by_columns_and_in_the_other_byte_order() -> None:
    plain = read_arrays(npz(embeddings=ROWS, face_ids=NAMES, kinds=["staff"] * 3), HOME, MOST)
    other = read_arrays(npz(embeddings=np.asfortranarray(ROWS).astype(">f4"), face_ids=NAMES.astype("S")), HOME, MOST)
    for (name, one), (also, two) in zip(plain.faces, other.faces, strict=True):
        assert (name, one.embeddings.tobytes()) == (also, two.embeddings.tobytes())
    assert [new.kind for _, new in plain.faces] == [Kind.STAFF] * 3


def test_one_face_too_many_is_refused_by_its_place() -> None:
    many = np.repeat(ROWS[:1], MAX_BULK + 1, axis=0)
    names = np.arange(MAX_BULK + 1).astype("S")
    with pytest.raises(FacegridError) as refused:
        read_arrays(npz(embeddings=many, face_ids=names), HOME, MOST)
    assert (refused.value.extra["row"], refused.value.limit) == (MAX_BULK, MAX_BULK)
    with pytest.raises(FacegridError) as refused:
        read_lines(lines(GOOD) * 2 + b"\n" * 10_000 + b'{"embedding": []}\n' * 3, HOME)
    assert refused.value.extra["line"] == 1  # two documents on one line


async def test_a_bound_face_in_the_batch_stops_all_of_it(chain: Cluster) -> None:
    await chain.enrol("A", unit(9), face_id="bound")
    await chain.http.put("/v1/members/c-1", json={"display_name": "Ada"})
    await chain.http.put("/v1/members/c-1/faces/A/bound")
    response = await send(chain, lines(GOOD, line(2, "bound", kind="visitor")))
    assert (response.status_code, response.json()["code"], response.json()["line"]) == (409, "FACE_BOUND", 2)
    assert set(await faces(chain)) == {"bound"}


async def test_a_store_of_another_dimension_takes_its_own(chain: Cluster) -> None:
    assert (await send(chain, npz(embeddings=np.ones((2, 512), np.float32)), NPZ)).json()["limit"] == 128
    assert (await send(chain, npz(embeddings=ROWS), "application/zip")).status_code == 200
    assert (await send(chain, b"", "application/json")).status_code == 415
    assert (await send(chain, npz(embeddings=ROWS), NPZ, "nowhere")).status_code == 404


async def test_faces_that_others_write_meanwhile_are_read_again(
    chain: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at what is there and the commit somebody adds a template to one, and creates another."""
    await chain.enrol("A", unit(1), face_id="ada")
    commit, raced = Ledger.commit, list[bool]()

    async def after_others(ledger: Ledger, store: str, incarnation: str, **what: Any) -> Committed:
        if not raced:
            raced.append(True)
            await chain.enrol("A", unit(7), face_id="ada")
            await chain.enrol("A", unit(8), face_id="bob")
        return await commit(ledger, store, incarnation, **what)

    monkeypatch.setattr(Ledger, "commit", after_others)
    done = (await send(chain, lines(line(2, "ada"), line(3, "bob"), line(4, "eve")))).json()
    assert (done["created"], done["updated"]) == (1, 2)
    assert {name: face["templates"] for name, face in (await faces(chain)).items()} == {"ada": 3, "bob": 2, "eve": 1}


async def test_a_face_erased_meanwhile_does_not_come_back(chain: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    await chain.enrol("A", unit(1), face_id="ada")
    commit, raced = Ledger.commit, list[bool]()

    async def after_erasure(ledger: Ledger, store: str, incarnation: str, **what: Any) -> Committed:
        if not raced:
            raced.append(True)
            await chain.http.delete("/v1/stores/A/faces/ada")
        return await commit(ledger, store, incarnation, **what)

    monkeypatch.setattr(Ledger, "commit", after_erasure)
    response = await send(chain, lines(line(3, "bob"), line(2, "ada")))
    problem = response.json()
    assert (response.status_code, problem["code"], problem["line"]) == (409, "FACE_CHANGED", 2)
    assert (problem["committed"], await faces(chain)) == (0, {})


async def test_what_others_wrote_of_the_batch_meanwhile_is_in_the_version_that_is_answered(
    chain: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else `visible` would be claimed of a version that has not all of it."""
    monkeypatch.setattr(bulk, "CHUNK", 1)
    commit, raced = Ledger.commit, list[bool]()

    async def after_others(ledger: Ledger, store: str, incarnation: str, **what: Any) -> Committed:
        done = await commit(ledger, store, incarnation, **what) if what["puts"][0].face_id == "ada" else None
        if not raced:
            raced.append(True)
            await chain.enrol("A", unit(2), face_id="bob")
        return done or await commit(ledger, store, incarnation, **what)

    monkeypatch.setattr(bulk, "IN_FLIGHT", 1)
    monkeypatch.setattr(Ledger, "commit", after_others)
    done = (await send(chain, lines(line(1, "ada"), line(2, "bob")))).json()
    assert (done["created"], done["version"], done["visible"]) == (1, 2, True)


async def test_the_same_batch_sent_by_many_at_once_is_enrolled_once(chain: Cluster) -> None:
    body = npz(embeddings=unit(1, 300), face_ids=np.array([f"f{n}" for n in range(300)]))
    done = await asyncio.gather(*(send(chain, body, NPZ) for _ in range(4)))
    assert [response.status_code for response in done] == [200] * 4
    assert sum(response.json()["created"] for response in done) == 300
    assert {face["templates"] for face in (await faces(chain)).values()} == {1}


async def test_a_batch_whose_time_is_over_before_it_writes_changes_nothing(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def endless(*_: Any) -> None:
        await asyncio.Event().wait()

    async with cluster(redis_url, shards=1, deadline_s=1) as running:
        await running.create("A")
        monkeypatch.setattr(Ledger, "stored", endless)
        response = await send(running, npz(embeddings=ROWS), NPZ)
        assert (response.status_code, response.json()["code"]) == (504, "DEADLINE_EXCEEDED")
        assert await faces(running) == {}


async def test_what_was_reported_committed_survives_a_server_killed_half_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(tmp_path)
    server.start()
    monkeypatch.setattr(bulk, "CHUNK", 20)
    rows, names = unit(1, 1000), [f"f{n}" for n in range(1000)]
    body = npz(embeddings=rows, face_ids=np.array(names))
    commit, commits = Ledger.commit, []

    async def killed_in_between(ledger: Ledger, store: str, incarnation: str, **what: Any) -> Committed:
        done = await commit(ledger, store, incarnation, **what)
        commits.append(done)
        if len(commits) == 10:
            server.kill()
        return done

    try:
        async with cluster(server.url, shards=1, redis_timeout_s=2) as running:
            await running.create("A")
            monkeypatch.setattr(Ledger, "commit", killed_in_between)
            response = await send(running, body, NPZ)
            problem = response.json()
            assert (response.status_code, problem["code"], problem["outcome"]) == (503, "TRUTH_UNAVAILABLE", "unknown")
            assert 200 <= problem["committed"] < 1000
            assert f"{problem['committed']} of 1000 faces are on disk" in problem["detail"]
            monkeypatch.setattr(Ledger, "commit", commit)
            server.start()
            async with asyncio.timeout(20):
                while not running.services.view.truth_reachable:
                    await asyncio.sleep(0.01)
            kept = await faces(running)
            assert problem["committed"] <= len(kept) < 1000
            again = (await send(running, body, NPZ)).json()
            assert (again["created"], len(again["face_ids"])) == (1000 - len(kept), 1000)
            assert await best(running, rows[777:778]) == ("f777", pytest.approx(1, abs=1e-6))
    finally:
        server.kill()


async def test_a_server_that_is_away_has_changed_nothing(chain: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: Any, **__: Any) -> Committed:
        raise TruthUnavailable("Redis: ConnectionError; nothing was changed.", outcome="unchanged")

    monkeypatch.setattr(Ledger, "commit", away)
    problem = (await send(chain, lines(GOOD))).json()
    assert (problem["code"], problem["committed"], problem["outcome"]) == ("TRUTH_UNAVAILABLE", 0, "unchanged")


@pytest.mark.parametrize(
    ("media_type", "body", "place"),
    [
        (LINES, lines(line(1, "ada", space=DLIB_SPACE), line(2, "bob", space="other")), {"line": 2, "field": "space"}),
        (NPZ, npz(embeddings=ROWS, spaces=[DLIB_SPACE, "other", "other"]), {"row": 1, "field": "spaces"}),
    ],
)
async def test_embeddings_that_say_to_be_of_another_space_are_refused(
    chain: Cluster, media_type: str, body: bytes, place: dict[str, Any]
) -> None:
    """As many numbers as the store's have they, so nothing else would tell."""
    answer = await chain.http.post("/v1/stores/A/faces:batch", content=body, headers={"content-type": media_type})
    told = answer.json()
    assert (answer.status_code, told["code"], told["limit"]) == (422, "WRONG_SPACE", DLIB_SPACE)
    assert told.items() >= place.items()
    assert (await chain.http.get("/v1/stores/A/faces")).json()["faces"] == []
