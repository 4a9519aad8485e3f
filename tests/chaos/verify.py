"""At the end, with everything whole again: what Redis holds, and what each gateway answers, against what was said."""

from __future__ import annotations

from collections import Counter
from typing import Any

import httpx

from tests.chaos.crowd import Crowd, Person
from tests.conformance import checked_sync

PAGE = 1000
SEARCHED = 300
"""people who are searched once more; all are looked up in Redis"""


def verify(crowd: Crowd) -> tuple[int, int]:
    """Adds what is wrong to the record; the number of people and of faces."""
    faces = [(store, face_id) for store in crowd.stores for face_id in listed(crowd, store)]
    each = Counter((store, face_id.partition("-")[0]) for store, face_id in faces)
    for person in crowd.people.values():
        verify_one(crowd, person, each[person.store, person.name])
    strays = [(store, name) for store, name in each if crowd.people[name].store != store]
    crowd.record.broken["wrong answers"] += [f"a face of {name} is in {store}" for store, name in strays]
    for url in crowd.urls:
        search_all(crowd, url, each)
    return len(crowd.people), len(faces)


def listed(crowd: Crowd, store: str) -> set[str]:
    found: set[str] = set()
    cursor: str | None = "0"
    with client(crowd, crowd.urls[0]) as http:
        while cursor is not None:
            params: dict[str, str | int] = {"cursor": cursor, "limit": PAGE}
            answer = http.get(f"/v1/stores/{store}/faces", params=params).raise_for_status().json()
            found |= {face["face_id"] for face in answer["faces"]}
            cursor = answer["cursor"]
    return found


def client(crowd: Crowd, url: str) -> httpx.Client:
    return httpx.Client(base_url=url, timeout=30, trust_env=False, event_hooks=checked_sync(crowd.page))


def verify_one(crowd: Crowd, person: Person, faces: int) -> None:
    if faces > 1:
        crowd.record.breaks("duplicate strangers", f"{person.name} has {faces} faces")
    if person.version and not person.erased and faces == 0:
        crowd.record.breaks("lost writes", f"{person.name} of {person.store}, version {person.version}")
    if person.gone_at is not None and faces:
        crowd.record.breaks("lost writes", f"the erasure of {person.name}, version {person.gone_at}")


def search_all(crowd: Crowd, url: str, each: Counter[tuple[str, str]]) -> None:
    with client(crowd, url) as http:
        for person in crowd.dice.sample(list(crowd.people.values()), min(SEARCHED, len(crowd.people))):
            body = {"embeddings": person.row.tolist()}
            result = http.post(f"/v1/stores/{person.store}/search", json=body).raise_for_status().json()["results"][0]
            there = each[person.store, person.name] > 0
            if found(result) != (person.name if there else None):
                why = f"{person.name} is {'' if there else 'not '}there, {url} answers {result['verdict']}"
                crowd.record.breaks("wrong answers", why)


def found(result: dict[str, Any]) -> str | None:
    """The person matched; "?" where there is no clear answer."""
    match result["verdict"]:
        case "match":
            return str(result["candidates"][0]["face_id"]).partition("-")[0]
        case "no_match":
            return None
        case _:
            return "?"
