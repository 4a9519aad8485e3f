"""Every answer that a test here gets over a socket is held against the OpenAPI page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conformance import Page, page_of_the_gateway, said


@pytest.fixture(scope="session")
def page() -> Page:
    return page_of_the_gateway()


@pytest.fixture(autouse=True)
def every_answer_is_as_the_page_says(
    request: pytest.FixtureRequest, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the tests of this folder; model/ and faults/ below it give their clients hooks of their own."""
    if request.path.parent != Path(__file__).parent:
        return
    send, send_async = httpx.Client.send, httpx.AsyncClient.send

    def checked(client: httpx.Client, asked: httpx.Request, **options: Any) -> httpx.Response:
        response = send(client, asked, **options)
        page.check(said(response))
        return response

    async def checked_async(client: httpx.AsyncClient, asked: httpx.Request, **options: Any) -> httpx.Response:
        response = await send_async(client, asked, **options)
        if asked.url.host == "127.0.0.1":  # a gateway's; an app of the same process has another name
            page.check(said(response))
        return response

    monkeypatch.setattr(httpx.Client, "send", checked)
    monkeypatch.setattr(httpx.AsyncClient, "send", checked_async)
