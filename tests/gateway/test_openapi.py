"""The OpenAPI page: every endpoint is there, every body has a valid example, every error is a problem."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from redis.asyncio import Redis

from common.errors import ShardFault
from common.settings import GatewaySettings
from gateway.app import create_app
from tests.rules.test_errors import classes

ENDPOINTS = {
    ("get", "/healthz"),
    ("post", "/v1/stores/{store}/sightings"),
    ("get", "/readyz"),
    ("put", "/v1/stores/{store}"),
    ("get", "/v1/stores"),
    ("get", "/v1/stores/{store}"),
    ("delete", "/v1/stores/{store}"),
    ("get", "/v1/spaces"),
    ("get", "/v1/shards"),
    ("post", "/v1/shards/{shard}/drain"),
    ("delete", "/v1/shards/{shard}/drain"),
    ("post", "/v1/stores/{store}/move"),
    ("post", "/v1/rebalance"),
    ("post", "/v1/stores/{store}/migration"),
    ("get", "/v1/stores/{store}/migration"),
    ("get", "/metrics"),
    ("post", "/v1/stores/{store}/faces"),
    ("get", "/v1/stores/{store}/faces"),
    ("post", "/v1/stores/{store}/faces:batch"),
    ("get", "/v1/stores/{store}/faces:export"),
    ("get", "/v1/stores/{store}/faces/{face_id}"),
    ("get", "/v1/stores/{store}/faces/{face_id}/thumbnail"),
    ("delete", "/v1/stores/{store}/faces/{face_id}"),
    ("patch", "/v1/stores/{store}/faces/{face_id}"),
    ("put", "/v1/members/{member_id}"),
    ("get", "/v1/members"),
    ("get", "/v1/members/{member_id}"),
    ("delete", "/v1/members/{member_id}"),
    ("get", "/v1/members/{member_id}/faces"),
    ("put", "/v1/members/{member_id}/faces/{store}/{face_id}"),
    ("delete", "/v1/members/{member_id}/faces/{store}/{face_id}"),
    ("post", "/v1/faces/merge"),
    ("get", "/v1/stores/{store}/faces/{face_id}/templates"),
    ("post", "/v1/stores/{store}/faces/{face_id}/split"),
    ("get", "/v1/erasures/{erasure_id}"),
    ("post", "/v1/stores/{store}/search"),
    ("post", "/v1/search:batch"),
    ("post", "/v1/verify"),
    ("get", "/v1/stores/{store}/events"),
    ("post", "/v1/stores/{store}/events/{event_id}/feedback"),
    ("get", "/v1/stores/{store}/feedback"),
    ("get", "/v1/stores/{store}/present"),
    ("get", "/v1/webhooks/dead-letters"),
    ("post", "/v1/webhooks/dead-letters/{letter_id}/retry"),
    ("delete", "/v1/webhooks/dead-letters/{letter_id}"),
    ("post", "/recognize"),
    ("get", "/v1/footfall"),
}


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    spec: dict[str, Any] = create_app(GatewaySettings(encoder_workers=0), Redis()).openapi()
    return spec


def operations(page: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method} {path}", operation) for path, item in page["paths"].items() for method, operation in item.items()
    ]


def examples(content: dict[str, Any], page: dict[str, Any]) -> list[Any]:
    """The examples of one body: on the media type, or on the schema it refers to."""
    found = [content["example"]] if "example" in content else []
    found += [example["value"] for example in content.get("examples", {}).values()]
    schema = content["schema"]
    if "$ref" in schema:
        schema = page["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return found + list(schema.get("examples", []))


def valid(value: Any, schema: dict[str, Any], page: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(schema | {"components": page["components"]}).validate(value)


def test_every_endpoint_is_listed_with_a_summary(page: dict[str, Any]) -> None:
    listed = {(method, path) for path, item in page["paths"].items() for method in item}
    assert listed == ENDPOINTS
    for name, operation in operations(page):
        assert operation["summary"], name


def test_every_request_body_has_a_valid_example(page: dict[str, Any]) -> None:
    seen = 0
    for name, operation in operations(page):
        for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
            found = examples(content, page)
            assert found, f"{name} {media_type}"
            for example in found:
                valid(example, content["schema"], page)
                seen += 1
    assert seen >= 9


def test_every_answer_has_a_valid_example_and_every_error_is_a_problem(page: dict[str, Any]) -> None:
    for name, operation in operations(page):
        for status, answer in operation["responses"].items():
            for media_type, content in answer.get("content", {}).items():
                if media_type == "image/jpeg":
                    continue
                assert (media_type == "application/problem+json") == (int(status) >= 400), f"{name} {status}"
                found = examples(content, page)
                assert found, f"{name} {status}"
                for example in found:
                    valid(example, content["schema"], page)


def test_no_answer_is_listed_with_a_code_that_nobody_is_answered(page: dict[str, Any]) -> None:
    listed = " ".join(
        answer["description"] for _, operation in operations(page) for answer in operation["responses"].values()
    )
    never = [
        error
        for error in classes()
        if "never answered" in str(error.__doc__) or "Answered to nobody" in str(error.__doc__)
    ]
    codes = {error.code for root in (*never, ShardFault) for error in classes(root)}
    assert {"INVALID_CURVE", "BROKEN_MODEL", "SIGHTINGS_WAITING", "SHARD_TIMEOUT"} < codes
    assert {code for code in codes if f"`{code}`" in listed} == set()
    assert all(f"`{code}`" in listed for code in ("UNKNOWN_STORE", "NO_FACE", "WRONG_DIMENSION", "NOTHING_SEARCHED"))


def test_every_route_that_needs_a_key_says_so(page: dict[str, Any]) -> None:
    keyed = create_app(GatewaySettings(encoder_workers=0, api_keys="one"), Redis()).openapi()
    assert "security" not in page
    assert {scheme for way in keyed["security"] for scheme in way} == keyed["components"]["securitySchemes"].keys()
    for name, operation in operations(keyed):
        opened = name.endswith(("/healthz", "/readyz"))
        assert opened == (operation.get("security") == []), name
        assert opened != ("401" in operation["responses"]), name
