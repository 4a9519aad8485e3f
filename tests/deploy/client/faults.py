"""A gateway of a few lines, to inject faults that a real one shows rarely: refused photos, 503s, broken connections."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import httpx

from deploy.client.http import Client

Handler = Callable[[httpx.Request], httpx.Response]


def problem(status: int, code: str, field: str = "", retry_after: str = "", **extra: object) -> httpx.Response:
    body = {"status": status, "title": code, "detail": f"{field} {code.lower()}.", "code": code, "field": field}
    return httpx.Response(status, json=body | extra, headers={"Retry-After": retry_after} if retry_after else {})


def client_of(handler: Handler, slept: list[float] | None = None) -> Client:
    """A client whose requests go to `handler`, and whose pauses are only noted in `slept`."""
    sleep = (slept if slept is not None else []).append
    return Client("http://gateway.test", "key", transport=httpx.MockTransport(handler), sleep=sleep)


def photos_in(request: httpx.Request) -> list[str]:
    """The file names of the `image` fields of a multipart body, in order."""
    return re.findall(r'name="image"; filename="([^"]+)"', request.content.decode("latin-1"))


class Store:
    """Remembers the photos of each face; refuses those whose name is in `refused`, naming all of them, as a gateway
    does. Not `indexed`: a refusal that names no photo."""

    def __init__(self, refused: dict[str, str] | None = None, indexed: bool = True) -> None:
        self.faces: dict[str, list[str]] = {}
        self.refused = refused or {}
        self.indexed = indexed
        self.requests = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            faces = [{"face_id": face, "templates": len(photos)} for face, photos in self.faces.items()]
            return httpx.Response(200, json={"faces": faces, "cursor": None})
        self.requests += 1
        photos = photos_in(request)
        bad = [(self.refused[name], f"image[{at}]") for at, name in enumerate(photos) if name in self.refused]
        if bad and self.indexed:
            each = [{"code": code, "field": field, "detail": f"{field} {code.lower()}."} for code, field in bad]
            return problem(422, *bad[0], refused=each)
        if bad:
            return problem(422, bad[0][0], "body")
        found = re.search(rb'name="face_id"\r\n\r\n([^\r]+)', request.content)
        assert found is not None
        face_id = found[1].decode()
        new = face_id not in self.faces
        self.faces.setdefault(face_id, []).extend(photos)
        return httpx.Response(201 if new else 200, content=json.dumps({"new": new, "face_id": face_id}))
