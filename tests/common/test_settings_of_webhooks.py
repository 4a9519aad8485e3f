"""A webhook that could not work, or would not be signed, keeps the gateway from starting."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from common.settings import GatewaySettings

SECRET = "x" * 24


@pytest.mark.parametrize("url", ["ftp://shop", "shop.example", "http://", "http://[", "http://shop:99999", "/hook"])
def test_a_url_that_cannot_be_posted_to_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="http:// or https:// URL"):
        GatewaySettings(webhook_url=url, webhook_secret=SECRET)


@pytest.mark.parametrize("secret", ["", "x" * 23])
def test_without_a_secret_worth_the_name_nothing_is_posted(secret: str) -> None:
    with pytest.raises(ValidationError, match="at least 24 characters") as refused:
        GatewaySettings(webhook_url="https://shop.example/hook", webhook_secret=secret)
    assert [error["loc"] for error in refused.value.errors()] == [("webhook_secret",)]


def test_a_secret_that_is_said_to_be_base64_must_be() -> None:
    with pytest.raises(ValidationError, match="base64"):
        GatewaySettings(webhook_url="https://shop.example", webhook_secret="whsec_" + "ä" * 24)
    assert GatewaySettings(webhook_url="https://shop.example:8443", webhook_secret="whsec_" + "A" * 32).webhook_url
    assert GatewaySettings().webhook_secret == ""
