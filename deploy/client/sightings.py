"""Posts sightings, one attempt at a time, and says what became of each: patience is the caller's, who keeps them.

Sending a sighting twice does no harm: the gateway joins what it counts by person and time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self, TypeAlias
from urllib.parse import quote

import httpx

from common.settings import is_loopback
from deploy.client.moment import as_text

TIMEOUT_S = 60.0
NOT_YET = frozenset({408, 409, 425, 429})
"""HTTP statuses after which the same request may do better, besides 5xx"""
ABOUT_THE_SIGHTING = frozenset({400, 413, 415, 422})
ITS_OWN_FAULT = frozenset({"ENCODER_WORKER_DIED", "DEADLINE_EXCEEDED", "INTERNAL"})
"""codes of failures that may be due to this one sighting, and would come again"""


@dataclass(frozen=True, slots=True)
class Shot:
    """One photo of a person."""

    jpeg: bytes
    at_ms: int


@dataclass(frozen=True, slots=True)
class Sighting:
    """One person seen by one camera, in up to ten photos."""

    store: str
    camera: str
    track: str
    at_ms: int
    shots: tuple[Shot, ...]
    part: int = 0
    """tells the sightings of one track and one moment apart; not sent"""

    def without(self, nth: int) -> Sighting:
        return replace(self, shots=self.shots[:nth] + self.shots[nth + 1 :])

    def one_by_one(self) -> list[Sighting]:
        """Its photos as sightings of their own, each at its own time."""
        return [
            replace(self, shots=(shot,), at_ms=shot.at_ms, part=100 * self.part + nth)
            for nth, shot in enumerate(self.shots, start=1)
        ]


@dataclass(frozen=True, slots=True)
class Sent:
    """The gateway has it: `outcomes` has one word for each face (counted, pending, rejected, staff)."""

    outcomes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Later:
    """It was not taken now; the same sighting may be taken later."""

    why: str
    pause_s: float | None
    """what the gateway asked for"""
    its_own_fault: bool = False
    """it may be due to this sighting: try the others first"""


@dataclass(frozen=True, slots=True)
class Barred:
    """Nothing will be taken until somebody changes something: the key, the store, the URL."""

    why: str
    code: str


@dataclass(frozen=True, slots=True)
class Refused:
    """It will never be taken; `problem` is the RFC 9457 body."""

    problem: Mapping[str, Any]

    @property
    def code(self) -> str:
        return str(self.problem.get("code", ""))

    @property
    def field(self) -> str:
        return str(self.problem.get("field", ""))


Outcome: TypeAlias = Sent | Later | Barred | Refused


class SightingClient:
    """One connection to the gateway; `timeout_s` bounds each wait of an attempt."""

    def __init__(self, url: str, key: str = "", timeout_s: float = TIMEOUT_S) -> None:
        self._url = url.rstrip("/")
        self._http = httpx.Client(
            base_url=self._url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=timeout_s,
            trust_env=not is_loopback(httpx.URL(url).host),  # photos for this machine never leave it through a proxy
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._http.close()

    def post(self, sighting: Sighting) -> Outcome:
        """Send it once."""
        files = [("image", (f"{nth}.jpg", shot.jpeg, "image/jpeg")) for nth, shot in enumerate(sighting.shots)]
        form = {"at": as_text(sighting.at_ms), "camera": sighting.camera, "track": sighting.track}
        path = f"/v1/stores/{quote(sighting.store, safe='')}/sightings"
        try:
            response = self._http.post(path, data=form, files=files)
        except httpx.ConnectError:
            return Later(f"No gateway answers at {self._url}.", None)
        except httpx.RequestError as error:
            return Later(f"{self._url} broke off before it answered ({type(error).__name__}).", None)
        return outcome(response)


def outcome(response: httpx.Response) -> Outcome:
    """What an answer means for the sighting. Only a gateway's own words make one leave the spool."""
    body = _object(response)
    code = str(body.get("code", f"HTTP_{response.status_code}"))
    detail = f"{body.get('detail') or body.get('title') or 'no reason given'} [{code}]"
    faces = body.get("faces")
    if response.is_success and isinstance(faces, list):
        return Sent(tuple(str(face.get("outcome")) for face in faces if isinstance(face, dict)))
    if response.status_code in NOT_YET or response.is_server_error:
        return Later(detail, _asked_s(response), code in ITS_OWN_FAULT)
    if response.status_code in ABOUT_THE_SIGHTING and "code" in body:
        return Refused(body)
    if "code" in body:
        return Barred(detail, code)
    return Barred("Somebody answers, but not as a Facegrid gateway does. Is the URL right?", code)


def _object(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _asked_s(response: httpx.Response) -> float | None:
    asked = response.headers.get("Retry-After", "")
    return float(asked) if asked.isdecimal() and asked.isascii() else None
