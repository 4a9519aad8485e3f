"""Who is let in: with keys, whoever sends one; without, this machine, but no web site that a browser shows on it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.gateway.in_process import Cluster, cluster, unit


@pytest.fixture
async def chain(redis_url: str) -> AsyncIterator[Cluster]:
    async with cluster(redis_url, shards=1) as running:
        await running.create("A")
        yield running


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},  # a form on a web site, sent to 127.0.0.1
        {"Origin": "null"},  # the same from a sandboxed frame
        {"Origin": "http://127.0.0.1:3000"},  # another service of this machine
        {"Host": "evil.example"},  # a name that was pointed to 127.0.0.1
        {"Host": "evil.example", "Origin": "http://evil.example"},
        {"Host": "[", "Origin": "http://["},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},  # <img src=…>
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"},  # 127.0.0.1:3000
        {"Sec-Fetch-Site": "cross-site"},
        {  # a form
            "Origin": "null",
            "Sec-Fetch-Site": "cross-site",
            "Sec-Fetch-Mode": "navigate",
            "Sec-Fetch-Dest": "document",
        },
    ],
)
async def test_a_web_site_is_refused(chain: Cluster, headers: dict[str, str]) -> None:
    body = {"embeddings": unit(1).tolist()}
    for response in (
        await chain.http.get("/v1/stores", headers=headers),
        await chain.http.post("/v1/stores/A/faces", json=body, headers=headers),
    ):
        assert (response.status_code, response.json()["code"]) == (401, "UNAUTHORIZED")
    assert await chain.services.ledger.version("A") == 0


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Host": "localhost:8000"},
        {"Host": "[::1]:8000"},
        {"Host": "127.0.0.1:8000", "Origin": "http://127.0.0.1:8000"},  # /docs of this gateway
        {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
        {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},  # typed, or a bookmark
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},  # a link
    ],
)
async def test_programs_and_the_gateways_own_pages_are_answered(chain: Cluster, headers: dict[str, str]) -> None:
    assert (await chain.http.get("/v1/stores", headers=headers)).status_code == 200


async def test_with_a_key_any_name_and_origin_will_do(redis_url: str) -> None:
    async with cluster(redis_url, shards=1, api_keys="one") as running:
        headers = {"X-API-Key": "one", "Host": "faces.example", "Origin": "https://console.example"}
        assert (await running.http.get("/v1/stores", headers=headers)).status_code == 200


async def test_keys_are_asked_for_everywhere_but_health_and_docs(redis_url: str) -> None:
    async with cluster(redis_url, shards=1, api_keys="one, two") as running:
        for path in ("/healthz", "/readyz", "/docs", "/openapi.json"):
            assert (await running.http.get(path)).status_code == 200
        refused = await running.http.get("/v1/stores")
        assert (refused.status_code, refused.json()["code"], refused.headers["www-authenticate"]) == (
            401,
            "UNAUTHORIZED",
            "Bearer",
        )
        for headers in (
            {"X-API-Key": "wrong"},
            {"Authorization": "Bearer on"},
            {"Authorization": "one"},
            {"X-API-Key": ""},
        ):
            assert (await running.http.get("/v1/stores", headers=headers)).status_code == 401
        for headers in (
            {"X-API-Key": "one"},
            {"Authorization": "Bearer two"},
            {"Authorization": "bearer two"},
            {"X-API-Key": "", "Authorization": "Bearer two"},
        ):
            assert (await running.http.get("/v1/stores", headers=headers)).status_code == 200


async def test_the_page_for_people_is_shown_in_no_frame(chain: Cluster) -> None:
    answer = await chain.http.get("/docs")
    assert "swagger" in answer.text
    assert '"/openapi.json"' in answer.text.replace("'", '"')
    assert answer.headers["content-security-policy"] == "frame-ancestors 'none'"
    assert answer.headers["x-frame-options"] == "DENY"


async def test_a_slash_at_the_end_is_another_path_and_leads_nowhere(chain: Cluster) -> None:
    for method, path in (("GET", "/v1/stores/"), ("POST", "/v1/stores/A/search/"), ("GET", "/v1/stores/A%0d%0aX:y/")):
        answer = await chain.http.request(method, path)
        assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
        assert "location" not in answer.headers
