"""Cameras that post sightings over kept connections and keep account of what they were answered."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import httpx

from tests.chaos.connection import Connection
from tests.conformance import page_of_the_gateway
from tests.footfall.traffic import D, Sighting, Staff, rfc3339

Call = Callable[[Sighting], Awaitable[tuple[int, Any]]]
"""posts the sighting; status and body of the answer"""


@dataclass(slots=True)
class Account:
    """What the cameras were told."""

    outcomes: Counter[str] = field(default_factory=Counter)
    faces: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """person → "store/face_id" → sightings that were counted for it"""

    def note(self, sighting: Sighting, seen: dict[str, Any]) -> None:
        self.outcomes[seen["outcome"]] += 1
        if seen["face_id"] is not None and seen["outcome"] in {"counted", "staff"}:
            self.faces[sighting.person][f"{seen['store']}/{seen['face_id']}"] += 1

    @property
    def persons_of(self) -> dict[str, set[str]]:
        """The other way round: face → persons who were taken for it."""
        turned: defaultdict[str, set[str]] = defaultdict(set)
        for person, faces in self.faces.items():
            for face in faces:
                turned[face].add(person)
        return dict(turned)

    @property
    def duplicates(self) -> dict[str, list[str]]:
        """Persons with more than one face."""
        return {person: sorted(faces) for person, faces in self.faces.items() if len(faces) > 1}

    @property
    def false_joins(self) -> dict[str, list[str]]:
        """Faces that more than one person was taken for."""
        return {face: sorted(persons) for face, persons in self.persons_of.items() if len(persons) > 1}


def query_of(sighting: Sighting) -> str:
    """`track` says that all photos are of one person."""
    asked = {"at": rfc3339(sighting.at_ms), "camera": sighting.camera}
    return urlencode(asked | {"track": f"t{sighting.at_ms}"} if len(sighting.photos) > 1 else asked)


async def see(call: Call, sighting: Sighting, account: Account) -> None:
    """Post it, and count what was answered. A track that is refused as not one person is seen as its first photo."""
    status, answer = await call(sighting)
    if status == 422 and answer["code"] == "MIXED_TRACK":
        account.outcomes["mixed track"] += 1
        first = Sighting(sighting.person, sighting.store, sighting.at_ms, sighting.photos[:1], sighting.camera)
        status, answer = await call(first)
    assert status == 200, answer
    assert len(answer["faces"]) == 1, answer
    account.note(sighting, answer["faces"][0])


async def cameras(urls: Sequence[str], sightings: Iterable[Sighting], count: int, account: Account) -> None:
    """`count` cameras, each with a connection to one of the gateways, post the sightings in their order."""
    waiting = iter(sightings)

    async def camera(url: str) -> None:
        connection = Connection(url, page_of_the_gateway())

        async def call(sighting: Sighting) -> tuple[int, Any]:
            path = f"/v1/stores/{sighting.store}/sightings"
            return await connection.call("POST", path, sighting.photos, query_of(sighting))

        try:
            for sighting in waiting:
                await see(call, sighting, account)
        finally:
            connection.close()

    async with asyncio.TaskGroup() as group:
        for nth in range(count):
            group.create_task(camera(urls[nth % len(urls)]))


async def open_stores(urls: Sequence[str], stores: Mapping[str, Mapping[str, object]], timeout_s: float = 30) -> None:
    """Create the stores, of one group, with these settings; return once every gateway can search all of them, so that
    nobody's sighting has to wait."""
    async with httpx.AsyncClient(timeout=20, trust_env=False) as http, asyncio.timeout(timeout_s):
        for store, settings in stores.items():
            (await http.put(f"{urls[0]}/v1/stores/{store}", json=dict(settings))).raise_for_status()
        for url in urls:
            await until_searched(http, f"{url}/v1/stores/{store}/search", stores)


async def until_searched(http: httpx.AsyncClient, path: str, stores: Collection[str]) -> None:
    """Return once a search of the group reaches every one of these stores."""
    while True:
        answer = await http.post(path, params={"scope": "group"}, json={"embeddings": [[1.0] * D]})
        if answer.is_success and set(stores) <= set(answer.json()["results"][0]["route"]["versions"]):
            return
        await asyncio.sleep(0.05)


async def enrol(url: str, staff: Iterable[Staff]) -> None:
    connection = Connection(url, page_of_the_gateway())
    for one in staff:
        path, query = f"/v1/stores/{one.store}/faces", urlencode({"face_id": f"staff-{one.person}", "kind": "staff"})
        status, answer = await connection.call("POST", path, one.photos, query)
        assert status == 201, answer
    connection.close()
