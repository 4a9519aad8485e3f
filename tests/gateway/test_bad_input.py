"""Bad input: each gets a problem body that names field and limit, and changes nothing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from common.limits import (
    MAX_ATTRIBUTE_VALUE,
    MAX_ATTRIBUTES,
    MAX_BATCH,
    MAX_DISPLAY_NAME,
    MAX_EMBEDDINGS,
    MAX_JSON_BYTES,
    MAX_LABEL_VALUE,
    MAX_LABELS,
    MAX_MISFITS,
    MAX_TEMPLATES,
    MAX_TOP_K,
    json_bytes,
)
from tests.gateway.in_process import Cluster, cluster, unit

GOOD = unit(1).tolist()
RAW = {"content-type": "application/octet-stream"}
JSON = {"content-type": "application/json"}


@pytest.fixture
async def chain(redis_url: str) -> AsyncIterator[Cluster]:
    async with cluster(redis_url, shards=1, body_bytes=1_000_000) as running:
        await running.create("A")
        await running.enrol("A", unit(1), face_id="ada")
        yield running


async def state(chain: Cluster) -> Any:
    """Everything that a refused request must leave as it was."""
    stores = (await chain.http.get("/v1/stores")).json()
    faces = (await chain.http.get("/v1/stores/A/faces")).json()
    return stores, faces, await chain.services.ledger.version("A")


def problem(response: httpx.Response, status: int, code: str, field: str | None) -> dict[str, Any]:
    body: dict[str, Any] = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert (response.status_code, body["status"], body["code"], body.get("field")) == (status, status, code, field)
    assert {"type", "title", "detail"} <= body.keys()
    return body


def embeddings(rows: Any, **more: Any) -> dict[str, Any]:
    return {"content": json.dumps({"embeddings": rows} | more), "headers": JSON}


def with_number(text: str) -> dict[str, Any]:
    return {"content": json.dumps({"embeddings": GOOD}).replace("[[", f"[[{text}, ", 1), "headers": JSON}


def replace_first(text: str) -> dict[str, Any]:
    row = ", ".join([text, *("0.1",) * 127])
    return {"content": f'{{"embeddings": [[{row}]]}}', "headers": JSON}


def form_in(charset: str, name: bytes, value: bytes) -> dict[str, Any]:
    """A form of one field, as it is."""
    part = b'--b\r\nContent-Disposition: form-data; name="' + name + b'"\r\n\r\n' + value + b"\r\n--b--\r\n"
    return {"content": part, "headers": {"content-type": f"multipart/form-data; boundary=b; charset={charset}"}}


def of_bytes(length: int) -> dict[str, Any]:
    """So long a document of one unknown field."""
    return {"content": '{"x":"' + "x" * (length - 8) + '"}', "headers": JSON}


def of_fields(count: int) -> dict[str, Any]:
    return {"content": json.dumps({f"{nth:x}": 0 for nth in range(count)}), "headers": JSON}


ENROL = "/v1/stores/A/faces"
SEARCH = "/v1/stores/A/search"

CASES: dict[str, tuple[str, str, dict[str, Any], int, str, str | None]] = {
    "unknown store, enrol": ("POST", "/v1/stores/Z/faces", embeddings(GOOD), 404, "UNKNOWN_STORE", "store"),
    "unknown store, search": ("POST", "/v1/stores/Z/search", embeddings(GOOD), 404, "UNKNOWN_STORE", "store"),
    "unknown store, delete": ("DELETE", "/v1/stores/Z", {}, 404, "UNKNOWN_STORE", "store"),
    "form without a boundary": (
        "POST",
        SEARCH,
        {"content": b"x", "headers": {"content-type": "multipart/form-data"}},
        400,
        "MALFORMED_BODY",
        "body",
    ),
    "unknown face": ("GET", ENROL + "/nobody", {}, 404, "UNKNOWN_FACE", "face_id"),
    "unknown face, erase": ("DELETE", ENROL + "/nobody", {}, 404, "UNKNOWN_FACE", "face_id"),
    "unknown shard": ("PUT", "/v1/stores/B", {"json": {"shard": "s9"}}, 404, "UNKNOWN_SHARD", "shard"),
    "another shard": ("PUT", "/v1/stores/A", {"json": {"shard": "s2"}}, 409, "CONFLICT", "shard"),
    "store name with a space": ("PUT", "/v1/stores/a%20b", {"json": {}}, 422, "INVALID_REQUEST", "store"),
    "store name with a brace": ("PUT", "/v1/stores/a%7Bb", {"json": {}}, 422, "INVALID_REQUEST", "store"),
    "store named like the cluster's own keys": ("PUT", "/v1/stores/map", {"json": {}}, 422, "INVALID_REQUEST", "store"),
    "store name too long": ("PUT", f"/v1/stores/{'a' * 65}", {"json": {}}, 422, "INVALID_REQUEST", "store"),
    "store name not ASCII": ("PUT", "/v1/stores/%C3%A9", {"json": {}}, 422, "INVALID_REQUEST", "store"),
    "group name": ("PUT", "/v1/stores/B", {"json": {"group": "a b"}}, 422, "INVALID_REQUEST", "group"),
    "time zone": ("PUT", "/v1/stores/B", {"json": {"timezone": "Mars/X"}}, 422, "INVALID_REQUEST", "timezone"),
    "time zone path": ("PUT", "/v1/stores/B", {"json": {"timezone": "../etc"}}, 422, "INVALID_REQUEST", "timezone"),
    "store threshold": ("PUT", "/v1/stores/B", {"json": {"threshold": 1.1}}, 422, "INVALID_REQUEST", "threshold"),
    "settings as text": (
        "PUT",
        "/v1/stores/B",
        {"content": "{}", "headers": {"content-type": "text/plain"}},
        415,
        "UNSUPPORTED_MEDIA_TYPE",
        "content-type",
    ),
    "time zone too long": (
        "PUT",
        "/v1/stores/B",
        {"json": {"timezone": "x" * 65}},
        422,
        "INVALID_REQUEST",
        "timezone",
    ),
    "face id beside the body": ("POST", ENROL + "?face_id=x", embeddings(GOOD), 422, "INVALID_REQUEST", "face_id"),
    "misspelt setting": ("PUT", "/v1/stores/B", {"json": {"shrad": "s1"}}, 422, "INVALID_REQUEST", "shrad"),
    "face id": ("POST", ENROL, embeddings(GOOD, face_id="a/b"), 422, "INVALID_REQUEST", "face_id"),
    "face id too long": ("POST", ENROL, embeddings(GOOD, face_id="a" * 65), 422, "INVALID_REQUEST", "face_id"),
    "face id empty": ("POST", ENROL, embeddings(GOOD, face_id=""), 422, "INVALID_REQUEST", "face_id"),
    "kind": ("POST", ENROL, embeddings(GOOD, kind="boss"), 422, "INVALID_REQUEST", "kind"),
    "label key": ("POST", ENROL, embeddings(GOOD, labels={"a b": "c"}), 422, "INVALID_REQUEST", "labels"),
    "label value": (
        "POST",
        ENROL,
        embeddings(GOOD, labels={"a": "x" * (MAX_LABEL_VALUE + 1)}),
        422,
        "INVALID_REQUEST",
        "labels",
    ),
    "label control character": ("POST", ENROL, embeddings(GOOD, labels={"a": "\n"}), 422, "INVALID_REQUEST", "labels"),
    "too many labels": (
        "POST",
        ENROL,
        embeddings(GOOD, labels={f"k{n}": "" for n in range(17)}),
        422,
        "INVALID_REQUEST",
        "labels",
    ),
    "no embeddings": ("POST", ENROL, embeddings([]), 422, "INVALID_REQUEST", "embeddings"),
    "eleven templates": ("POST", ENROL, embeddings(GOOD * 11), 422, "INVALID_REQUEST", "embeddings"),
    "eleven templates, raw": (
        "POST",
        ENROL,
        {"content": unit(1, 11).tobytes(), "headers": RAW},
        422,
        "INVALID_REQUEST",
        "embeddings",
    ),
    "65 probes": ("POST", SEARCH, embeddings(GOOD * 65), 422, "INVALID_REQUEST", "embeddings"),
    "wrong dimension": ("POST", ENROL, embeddings([[0.1] * 127]), 422, "WRONG_DIMENSION", "embeddings[0]"),
    "ragged": ("POST", SEARCH, embeddings([*GOOD, [0.1]]), 422, "WRONG_DIMENSION", "embeddings[1]"),
    "wrong dimension, raw": ("POST", ENROL, {"content": b"\0" * 511, "headers": RAW}, 422, "WRONG_DIMENSION", "body"),
    "empty, raw": ("POST", SEARCH, {"content": b"", "headers": RAW}, 422, "WRONG_DIMENSION", "body"),
    "NaN": ("POST", ENROL, replace_first("NaN"), 422, "NOT_FINITE", "embeddings"),
    "infinity": ("POST", SEARCH, replace_first("-Infinity"), 422, "NOT_FINITE", "embeddings"),
    "beyond float32": ("POST", ENROL, replace_first("1e300"), 422, "NOT_FINITE", "embeddings"),
    "a number too many": ("POST", ENROL, with_number("0.5"), 422, "WRONG_DIMENSION", "embeddings[0]"),
    "text for a number": ("POST", ENROL, replace_first('"1"'), 422, "INVALID_REQUEST", "embeddings.0.0"),
    "zero vector": ("POST", ENROL, embeddings([[0.0] * 128]), 422, "ZERO_VECTOR", "embeddings"),
    "malformed JSON": ("POST", ENROL, {"content": "{", "headers": JSON}, 400, "MALFORMED_BODY", "body"),
    "malformed JSON, store": ("PUT", "/v1/stores/B", {"content": "{", "headers": JSON}, 400, "MALFORMED_BODY", "body"),
    "JSON of another shape": ("POST", ENROL, {"content": "[1]", "headers": JSON}, 422, "INVALID_REQUEST", "body"),
    "misspelt field": ("POST", ENROL, embeddings(GOOD, faceid="x"), 422, "INVALID_REQUEST", "faceid"),
    "content type": (
        "POST",
        ENROL,
        {"content": "x", "headers": {"content-type": "text/plain"}},
        415,
        "UNSUPPORTED_MEDIA_TYPE",
        "content-type",
    ),
    "no content type": ("POST", SEARCH, {"content": "x"}, 415, "UNSUPPORTED_MEDIA_TYPE", "content-type"),
    "verify raw": (
        "POST",
        "/v1/verify",
        {"content": b"\0" * 512, "headers": RAW},
        415,
        "UNSUPPORTED_MEDIA_TYPE",
        "content-type",
    ),
    "multipart without boundary": (
        "POST",
        ENROL,
        {"content": "x", "headers": {"content-type": "multipart/form-data"}},
        400,
        "MALFORMED_BODY",
        "body",
    ),
    "multipart cut off": (
        "POST",
        ENROL,
        {"content": b"--b\r\nContent-Dis", "headers": {"content-type": "multipart/form-data; boundary=b"}},
        422,
        "INVALID_REQUEST",
        "image",
    ),
    "image as text": ("POST", ENROL, {"files": {"image": (None, "hello")}}, 422, "INVALID_REQUEST", "image"),
    "no image": ("POST", ENROL, {"files": {"face_id": (None, "x")}}, 422, "INVALID_REQUEST", "image"),
    "unknown form field": ("POST", ENROL, {"files": {"photo": ("a.jpg", b"x")}}, 422, "INVALID_REQUEST", "photo"),
    "form field twice": (
        "POST",
        ENROL,
        {"files": [("face_id", (None, "a")), ("face_id", (None, "b")), ("image", ("a.jpg", b"x"))]},
        422,
        "INVALID_REQUEST",
        "face_id",
    ),
    "form field that is no text": (
        "POST",
        ENROL,
        {
            "content": b'--b\r\nContent-Disposition: form-data; name="\\ud800"\r\n\r\nx\r\n--b--\r\n',
            "headers": {"content-type": "multipart/form-data; boundary=b; charset=unicode_escape"},
        },
        422,
        "INVALID_REQUEST",
        "\ud800",
    ),
    "form in a charset that nothing is in": (
        "POST",
        ENROL,
        form_in("undefined", b"face_id", b"ada"),
        400,
        "MALFORMED_BODY",
        "body",
    ),
    "form with a name that is not in its charset": (
        "POST",
        ENROL,
        form_in("punycode", b"x-y", b"ada"),
        400,
        "MALFORMED_BODY",
        "body",
    ),
    "form of another charset's": ("POST", ENROL, form_in("latin-1", b"\xe9", b"x"), 422, "INVALID_REQUEST", "\xe9"),
    "form in a charset that is none": ("POST", ENROL, form_in("mars", b"x", b""), 422, "INVALID_REQUEST", "x"),
    "twelve photos": (
        "POST",
        ENROL,
        {"files": [("image", ("a.jpg", b"x"))] * 12},
        422,
        "INVALID_REQUEST",
        "image",
    ),
    "eleven photos to search": (
        "POST",
        SEARCH,
        {"files": [("image", (f"{at}.jpg", b"x")) for at in range(11)]},
        422,
        "INVALID_REQUEST",
        "image",
    ),
    "body too large": (
        "POST",
        ENROL,
        {"content": b"\0" * 1_000_001, "headers": RAW},
        413,
        "BODY_TOO_LARGE",
        "body",
    ),
    "JSON too large, store": (
        "PUT",
        "/v1/stores/B",
        of_bytes(MAX_JSON_BYTES + 1),
        413,
        "BODY_TOO_LARGE",
        "body",
    ),
    "JSON as large as allowed, store": ("PUT", "/v1/stores/B", of_bytes(MAX_JSON_BYTES), 422, "INVALID_REQUEST", "x"),
    "JSON too large, enrol": (
        "POST",
        ENROL,
        of_bytes(json_bytes(MAX_TEMPLATES * 128) + 1),
        413,
        "BODY_TOO_LARGE",
        "body",
    ),
    "JSON too large, search": (
        "POST",
        SEARCH,
        of_bytes(json_bytes(MAX_EMBEDDINGS * 128) + 1),
        413,
        "BODY_TOO_LARGE",
        "body",
    ),
    "JSON too large, sighting": (
        "POST",
        "/v1/stores/A/sightings",
        of_bytes(json_bytes(MAX_EMBEDDINGS * 128) + 1),
        413,
        "BODY_TOO_LARGE",
        "body",
    ),
    "JSON too large, verify": (
        "POST",
        "/v1/verify",
        of_bytes(json_bytes(2 * 128) + 1),
        413,
        "BODY_TOO_LARGE",
        "body",
    ),
    "misfits, all of them looked at": (
        "POST",
        SEARCH,
        of_fields(MAX_MISFITS - 1),
        422,
        "INVALID_REQUEST",
        "embeddings",
    ),
    "misfits, too many to look at": ("POST", SEARCH, of_fields(MAX_MISFITS), 422, "INVALID_REQUEST", "body"),
    "text for every number": (
        "POST",
        SEARCH,
        embeddings([[""] * 128] * MAX_EMBEDDINGS),
        422,
        "INVALID_REQUEST",
        "embeddings.0.0",
    ),
    "top_k 0": ("POST", SEARCH + "?top_k=0", embeddings(GOOD), 422, "INVALID_REQUEST", "top_k"),
    "top_k negative": ("POST", SEARCH + "?top_k=-1", embeddings(GOOD), 422, "INVALID_REQUEST", "top_k"),
    "top_k huge": ("POST", SEARCH + f"?top_k={MAX_TOP_K + 1}", embeddings(GOOD), 422, "INVALID_REQUEST", "top_k"),
    "top_k text": ("POST", SEARCH + "?top_k=many", embeddings(GOOD), 422, "INVALID_REQUEST", "top_k"),
    "scope": ("POST", SEARCH + "?scope=galaxy", embeddings(GOOD), 422, "INVALID_REQUEST", "scope"),
    "threshold": ("POST", SEARCH + "?threshold=2", embeddings(GOOD), 422, "INVALID_REQUEST", "threshold"),
    "threshold NaN": ("POST", SEARCH + "?threshold=nan", embeddings(GOOD), 422, "INVALID_REQUEST", "threshold"),
    "misspelt option": ("POST", SEARCH + "?topk=3", embeddings(GOOD), 422, "INVALID_REQUEST", "topk"),
    "expected_version": (
        "POST",
        ENROL + "?expected_version=-1",
        embeddings(GOOD),
        422,
        "INVALID_REQUEST",
        "expected_version",
    ),
    "wait": ("POST", ENROL + "?wait=forever", embeddings(GOOD), 422, "INVALID_REQUEST", "wait"),
    "page size": ("GET", ENROL + "?limit=1001", {}, 422, "INVALID_REQUEST", "limit"),
    "cursor beyond Redis's": ("GET", ENROL + "?cursor=" + "9" * 20, {}, 422, "INVALID_REQUEST", "cursor"),
    "cursor of half a process": ("GET", ENROL + "?cursor=5b1f-1", {}, 422, "INVALID_REQUEST", "cursor"),
    "cursor without a place": ("GET", ENROL + "?cursor=5b1f0c9e-", {}, 422, "INVALID_REQUEST", "cursor"),
    "cursor": ("GET", ENROL + "?cursor=x", {}, 422, "INVALID_REQUEST", "cursor"),
    "verify one": ("POST", "/v1/verify", embeddings(GOOD), 422, "INVALID_REQUEST", "image"),
    "verify three": ("POST", "/v1/verify", embeddings(GOOD * 3), 422, "INVALID_REQUEST", "embeddings"),
    "verify half a face": ("POST", "/v1/verify", embeddings(GOOD, store="A"), 422, "INVALID_REQUEST", "face_id"),
    "verify unknown face": (
        "POST",
        "/v1/verify",
        embeddings(GOOD, store="A", face_id="nobody"),
        404,
        "UNKNOWN_FACE",
        "face_id",
    ),
    "no such path": ("GET", "/v2/stores", {}, 404, "NOT_FOUND", None),
    "no such method": ("PATCH", "/v1/stores/A", {}, 405, "METHOD_NOT_ALLOWED", None),
    "photo without encoders": ("POST", ENROL, {"files": {"image": ("a.jpg", b"x")}}, 503, "ENCODER_MISSING", None),
}


@pytest.mark.parametrize("case", CASES)
async def test_bad_input_is_named_and_changes_nothing(chain: Cluster, case: str) -> None:
    method, path, request, status, code, field = CASES[case]
    before = await state(chain)
    response = await chain.http.request(method, path, **request)
    problem(response, status, code, field)
    assert await state(chain) == before


async def test_limits_are_in_the_body(chain: Cluster) -> None:
    body = (await chain.http.post(SEARCH + "?top_k=101", json={"embeddings": GOOD})).json()
    assert body["limit"] == MAX_TOP_K
    body = (await chain.http.post(ENROL, json={"embeddings": [[0.5] * 5]})).json()
    assert body["limit"] == 128
    body = (await chain.http.put("/v1/members/ada", **of_bytes(MAX_JSON_BYTES + 1))).json()
    assert body["limit"] == MAX_JSON_BYTES


async def test_the_longest_json_that_is_allowed_fits(chain: Cluster) -> None:
    """Numbers of 24 characters, with a comma and a space; texts as escapes, which is how Python's json writes them."""
    row = json.dumps([0.5] * 128).replace("0.5", "-1.2345678901234567e-003")
    widest, key = "\N{GRINNING FACE}", "k" * 62

    async def answered(method: str, path: str, body: str) -> int:
        sent = body.replace(json.dumps("row"), row)
        return (await chain.http.request(method, path, content=sent, headers=JSON)).status_code

    labels = {f"{key}{nth:02}": widest * MAX_LABEL_VALUE for nth in range(MAX_LABELS)}
    face = {"embeddings": ["row"] * MAX_TEMPLATES, "labels": labels}
    probes = {"embeddings": ["row"] * MAX_EMBEDDINGS}
    batch = {"searches": [{"store": "A", "embedding": "row"}] * MAX_BATCH}
    attributes = {f"{key}{nth:02}": widest * MAX_ATTRIBUTE_VALUE for nth in range(MAX_ATTRIBUTES)}
    member = {"display_name": widest * MAX_DISPLAY_NAME, "attributes": attributes}
    assert await answered("POST", ENROL, json.dumps(face)) == 201
    assert await answered("POST", SEARCH, json.dumps(probes)) == 200
    assert await answered("POST", "/v1/search:batch", json.dumps(batch)) == 200
    assert await answered("PUT", "/v1/members/ada", json.dumps(member)) == 201


@pytest.mark.parametrize(("method", "path", "headers"), [("POST", ENROL, RAW), ("PUT", "/v1/stores/B", JSON)])
async def test_a_body_that_grows_too_large_while_it_streams_is_refused(
    chain: Cluster, method: str, path: str, headers: dict[str, str]
) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"\0" * 65_536

    response = await chain.http.request(method, path, content=endless(), headers=headers)
    problem(response, 413, "BODY_TOO_LARGE", "body")


async def test_what_was_not_foreseen_is_a_problem_that_says_nothing_of_itself(chain: Cluster) -> None:
    def broken(request: httpx.Request) -> httpx.Response:
        raise LookupError(f"secret of {request.url}")

    chain.shards.faults["s1-a"] = broken
    chain.http.event_hooks = {}  # the page promises no 500: anywhere else one fails the test
    response = await chain.http.post(SEARCH, json={"embeddings": GOOD})
    body = problem(response, 500, "INTERNAL", None)
    assert "secret" not in json.dumps(body)


async def test_a_refused_method_comes_with_those_the_path_takes(chain: Cluster) -> None:
    response = await chain.http.patch("/v1/stores/A")
    assert response.headers["allow"] == "DELETE, GET, PUT"
