"""One camera as a process of its own, driven line by line over its standard input (see test_same_stranger.py).

look <seed>      search a stranger → prints the verdict
enrol            enrol it because nothing was found, at the version searched; on a conflict look again → the face id
enrol-unchecked  the same without the expected version: what a careless camera would do
"""

from __future__ import annotations

import sys
from typing import Any

import httpx
import numpy as np

from tests.conformance import checked_sync, page_of_the_gateway


class Camera:
    def __init__(self, url: str, store: str) -> None:
        self._http = httpx.Client(
            base_url=f"{url}/v1/stores/{store}", timeout=30, event_hooks=checked_sync(page_of_the_gateway())
        )
        self._store = store
        self._row: list[float] = []
        self._result: dict[str, Any] = {}

    def look(self, seed: int) -> str:
        self._row = np.random.default_rng(seed).normal(size=128).tolist()
        return self._search()

    def _search(self) -> str:
        answer = self._http.post("/search", json={"embeddings": [self._row]}).raise_for_status()
        self._result = answer.json()["results"][0]
        return str(self._result["verdict"])

    def enrol(self, *, checked: bool) -> str:
        while True:
            version = self._result["route"]["versions"][self._store]
            params = {"expected_version": version} if checked else {}
            answer = self._http.post("/faces", params=params, json={"embeddings": [self._row]})
            if answer.status_code == 201:
                return str(answer.json()["face_id"])
            assert answer.json()["code"] == "VERSION_CONFLICT", answer.text
            if self._search() == "match":
                return str(self._result["candidates"][0]["face_id"])


def main() -> None:
    camera = Camera(*sys.argv[1:])
    for line in sys.stdin:
        command, *arguments = line.split()
        if command == "look":
            print(camera.look(int(arguments[0])), flush=True)
        else:
            print(camera.enrol(checked=command == "enrol"), flush=True)


if __name__ == "__main__":
    main()
