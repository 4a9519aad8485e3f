"""The HTTP client of a gateway, on httpx: one method an endpoint, problem bodies as exceptions, patience with 503.

Safe to use from several threads. A request is sent again only where that cannot do a thing twice: the gateway was
not reached, or it said itself that nothing was changed and when to come back.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import quote

import httpx

from common.limits import MAX_PAGE
from common.settings import is_loopback
from deploy.client.answers import (
    BulkBody,
    EnrolledBody,
    FaceBody,
    PlanBody,
    SearchBody,
    ShardBody,
    StoreBody,
    VerifyBody,
)

ATTEMPTS = 6
LONGEST_PAUSE_S = 5.0
PASSING = frozenset({502, 503, 504})
"""HTTP statuses; 502: of a proxy before a gateway"""
NO_SUCH_PATH = "NOT_FOUND"
INDEXED = re.compile(r"image\[(\d+)\]")


class ClientError(Exception):
    """A request failed; the text is one sentence for people."""


class GatewayAway(ClientError):
    """Nobody answers at the URL, or the connection broke before an answer came."""


class Problem(ClientError):
    """The gateway answered with a problem body (RFC 9457)."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        self.status = status
        self.code = str(body.get("code", f"HTTP_{status}"))
        self.detail = str(body.get("detail") or body.get("title") or "no reason given")
        self.field = str(body.get("field", ""))
        self.unchanged = body.get("outcome") != "unknown"
        self.place = next(
            ((word, int(body[word])) for word in ("line", "row") if isinstance(body.get(word), int)), None
        )
        """of a body of many faces: what was wrong, a line (from 1) or a row (from 0)"""
        refused = body.get("refused") or []
        self.refused = [Problem(status, one) for one in refused if isinstance(one, dict)]
        """one for each photo that was refused, where several were looked at"""
        super().__init__(f"{self.detail} [{self.code}]")

    @property
    def photo(self) -> int | None:
        """The photo of the request that it is about, from 0; None if it names none."""
        named = INDEXED.fullmatch(self.field)
        return int(named[1]) if named else None


def may_pass(error: BaseException) -> bool:
    """True if the same command, given again later, may do better: nobody answered in time, or it was interrupted."""
    return isinstance(error, GatewayAway | KeyboardInterrupt) or (
        isinstance(error, Problem) and error.status in PASSING
    )


def not_a_gateway(url: str) -> str:
    return f"{url} answers, but not as a Facegrid gateway does. Is the URL right?"


@dataclass(frozen=True, slots=True)
class Upload:
    """A photo as it is sent."""

    name: str
    content: bytes

    def field(self) -> tuple[str, tuple[str, bytes]]:
        return "image", (self.name, self.content)


class Client:
    """`timeout_s` bounds one request. `sleep` is for tests that inject faults."""

    def __init__(
        self,
        url: str,
        key: str = "",
        *,
        timeout_s: float = 60.0,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(
            base_url=self.url,
            headers=headers,
            timeout=timeout_s,
            transport=transport,
            trust_env=not is_loopback(httpx.URL(url).host),  # photos for this machine never leave it through a proxy
        )
        self._sleep = sleep
        self._reached = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._http.close()

    def stores(self) -> list[StoreBody]:
        return cast("list[StoreBody]", self._json("stores", "GET", "/v1/stores")["stores"])

    def put_store(self, store: str, **settings: str) -> bool:
        """Create the store, or change its shard, group or timezone; True if it is new."""
        return self._send("PUT", _store(store), json=settings).status_code == httpx.codes.CREATED

    def delete_store(self, store: str, *, force: bool) -> None:
        self._send("DELETE", _store(store), params={"force": str(force).lower()})

    def shards(self) -> list[ShardBody]:
        return cast("list[ShardBody]", self._json("shards", "GET", "/v1/shards")["shards"])

    def store(self, store: str) -> StoreBody:
        return cast("StoreBody", self._json("shard", "GET", _store(store)))

    def move(self, store: str, shard: str) -> StoreBody:
        """Order it; the answer's `move` tells how far it has come, None where there is nothing to do."""
        return cast("StoreBody", self._json("shard", "POST", _store(store, "move"), json={"shard": shard}))

    def rebalance(self, *, dry_run: bool) -> PlanBody:
        params = {"dry_run": str(dry_run).lower()}
        return cast("PlanBody", self._json("moves", "POST", "/v1/rebalance", params=params))

    def drain(self, shard: str, *, undo: bool = False) -> ShardBody:
        path = f"/v1/shards/{quote(shard, safe='')}/drain"
        return cast("ShardBody", self._json("draining", "DELETE" if undo else "POST", path))

    def faces(self, store: str) -> Iterator[FaceBody]:
        """All faces of a store, page by page; one may come twice."""
        cursor: str | None = ""
        while cursor is not None:
            params = {"limit": str(MAX_PAGE)} | ({"cursor": cursor} if cursor else {})
            page = self._json("cursor", "GET", _store(store, "faces"), params=params)
            yield from cast("list[FaceBody]", page["faces"])
            cursor = page["cursor"]

    def enrol(self, store: str, face_id: str, photos: Sequence[Upload], form: Mapping[str, str]) -> EnrolledBody:
        """`form`: further fields, `kind` and `keep_thumbnail`."""
        files = [photo.field() for photo in photos]
        body = self._json("new", "POST", _store(store, "faces"), files=files, data={"face_id": face_id, **form})
        return cast("EnrolledBody", body)

    def enrol_many(self, store: str, body: bytes, media_type: str) -> BulkBody:
        path = f"{_store(store)}/faces:batch"
        answer = self._json("face_ids", "POST", path, content=body, headers={"Content-Type": media_type})
        return cast("BulkBody", answer)

    def export_page(self, store: str, cursor: str) -> tuple[bytes, str | None]:
        """JSON lines, and the cursor of the next page; None at the end."""
        response = self._send("GET", f"{_store(store)}/faces:export", params={"cursor": cursor})
        return response.content, response.headers.get("Facegrid-Cursor")

    def thumbnail(self, store: str, face_id: str) -> bytes | None:
        """The JPEG kept at enrolment; None where none was kept, or the face is gone."""
        try:
            return self._send("GET", _store(store, "faces", face_id, "thumbnail")).content
        except Problem as problem:
            if problem.status == httpx.codes.NOT_FOUND:
                return None
            raise

    def search(self, store: str, *photos: Upload, top_k: int = 5, scope: str = "auto") -> SearchBody:
        """Everybody in a photo, or the one person whom several photos show."""
        params, files = {"top_k": str(top_k), "scope": scope}, [photo.field() for photo in photos]
        body = self._json("results", "POST", _store(store, "search"), files=files, params=params)
        return cast("SearchBody", body)

    def verify(self, photos: Sequence[Upload], form: Mapping[str, str]) -> VerifyBody:
        """Two photos, or one and `store` and `face_id` in `form`; `fmr` and `space` go there too."""
        files = [photo.field() for photo in photos]
        return cast("VerifyBody", self._json("match", "POST", "/v1/verify", files=files, data=dict(form)))

    def recognize(self, photo: Upload, store: str) -> str | None:
        """The call of the classic single-process service: the face id, or None for a stranger."""
        answer = self._json("result", "POST", "/recognize", files=[photo.field()], data={"store": store})
        return cast("str | None", answer["result"])

    def _json(self, field: str, method: str, path: str, **what: Any) -> dict[str, Any]:
        """The JSON object of the answer; ClientError if it is none or lacks the field that tells a gateway's."""
        response = self._send(method, path, **what)
        try:
            body = response.json()
        except ValueError:
            body = None
        if not isinstance(body, dict) or field not in body:
            raise ClientError(not_a_gateway(self.url))
        return body

    def _send(self, method: str, path: str, **what: Any) -> httpx.Response:
        """Send until it is answered for good; raises Problem or GatewayAway after a few attempts."""
        for attempt in range(ATTEMPTS):
            last = attempt == ATTEMPTS - 1
            try:
                response = self._http.request(method, path, **what)
            except httpx.ConnectError as error:
                # One that answered before is being restarted; otherwise there is none, and that is said at once.
                if last or not self._reached:
                    raise GatewayAway(f"No gateway answers at {self.url}.") from error
                self._sleep(_growing_s(attempt))
                continue
            except httpx.TransportError as error:
                raise GatewayAway(f"{self.url} broke off before it answered ({type(error).__name__}).") from error
            self._reached = True
            if response.is_success:
                return response
            pause_s = _pause_s(response, attempt, self.url)
            if last or pause_s is None:
                raise problem_of(response, self.url)
            self._sleep(pause_s)
        raise AssertionError("the last attempt returns or raises")


def problem_of(response: httpx.Response, url: str) -> Problem:
    """What the gateway at `url` says, or, where the answer is no problem or knows no such path, that it may be none."""
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict) or "code" not in body:
        body = {"detail": not_a_gateway(url)}
    elif body["code"] == NO_SUCH_PATH:
        body = body | {"detail": not_a_gateway(url)}
    return Problem(response.status_code, body)


def _pause_s(response: httpx.Response, attempt: int, url: str) -> float | None:
    """Seconds until another try is worth it; None if it is not: no 503, perhaps done already, or not before long."""
    if response.status_code != httpx.codes.SERVICE_UNAVAILABLE or not problem_of(response, url).unchanged:
        return None
    asked = response.headers.get("Retry-After", "")
    if not asked.isdigit():
        return _growing_s(attempt)
    return None if int(asked) > LONGEST_PAUSE_S else max(0.1, float(asked))


def _growing_s(attempt: int) -> float:
    return min(LONGEST_PAUSE_S, 0.2 * 2.0**attempt)


def _store(store: str, *parts: str) -> str:
    return "/".join(["/v1/stores", *(quote(part, safe="") for part in (store, *parts))])
