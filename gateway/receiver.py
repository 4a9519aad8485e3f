"""Who is told by webhook: posting one signed message, after the Standard Webhooks convention, and how patient to be."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import random
import time
from collections.abc import Callable

import httpx

from common.settings import SECRET_PREFIX, GatewaySettings, is_loopback

TIMEOUT_S = 10.0
LONGEST_PAUSE_S = 60.0
READ_BYTES = 65_536
"""of an answer, which says nothing to us; read so far that the connection can be used again"""


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The `webhook-signature` header (Standard Webhooks): HMAC-SHA256 of "id.timestamp.body"."""
    encoded = secret.removeprefix(SECRET_PREFIX)
    key = secret.encode() if encoded == secret else base64.b64decode(encoded)
    digest = hmac.digest(key, f"{message_id}.{timestamp}.".encode() + body, "sha256")
    return "v1," + base64.b64encode(digest).decode()


def message_id(store: str, event_id: str) -> str:
    """The same however often the event is sent. Hashed: the convention forbids dots, which a store's name may have."""
    return "evt_" + hashlib.sha256(f"{store}/{event_id}".encode()).hexdigest()[:32]


def pause_s(attempt: int) -> float:
    """Before the next try, after `attempt` (1, 2, …) failed; jittered, so that stores do not come back in step."""
    return min(LONGEST_PAUSE_S, 2.0 ** (attempt - 1)) * random.uniform(0.5, 1)  # noqa: S311  # no secret


class Receiver:
    """The URL that events are posted to, and how patient we are with it."""

    def __init__(
        self,
        url: str,
        secret: str,
        attempts: int,
        *,
        timeout_s: float = TIMEOUT_S,
        pause_s: Callable[[int], float] = pause_s,
    ) -> None:
        self.attempts = attempts
        self.pause_s = pause_s
        self._url = url
        self._secret = secret
        self._timeout_s = timeout_s
        host = httpx.URL(url).host
        self._http = httpx.AsyncClient(follow_redirects=False, timeout=timeout_s, trust_env=not is_loopback(host))

    @classmethod
    def of(cls, settings: GatewaySettings) -> Receiver | None:
        """None where the settings name no URL."""
        if not settings.webhook_url:
            return None
        return cls(settings.webhook_url, settings.webhook_secret, settings.webhook_attempts)

    async def close(self) -> None:
        await self._http.aclose()

    async def post(self, message: str, body: bytes) -> str:
        """Why it was not taken; empty if it was. (Not the URL: that may hold a password.)"""
        now = int(time.time())
        headers = {
            "content-type": "application/json",
            "webhook-id": message,
            "webhook-timestamp": str(now),
            "webhook-signature": sign(self._secret, message, now, body),
        }
        try:
            async with asyncio.timeout(self._timeout_s):  # httpx bounds each step, not all of them together
                return await self._answer(body, headers)
        except TimeoutError:
            return f"it did not answer within {self._timeout_s:g} s"
        except httpx.HTTPError as error:
            return f"it could not be reached ({type(error).__name__})"

    async def _answer(self, body: bytes, headers: dict[str, str]) -> str:
        async with self._http.stream("POST", self._url, content=body, headers=headers) as response:
            read = 0
            async for chunk in response.aiter_raw():
                read += len(chunk)
                if read > READ_BYTES:
                    break
        return "" if response.is_success else f"it answered {response.status_code}"
