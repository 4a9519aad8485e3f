"""The people of the run and those who watch them: cameras that enrol strangers, tills that search, one who erases.

Each stranger is seen at the same moment by several cameras of one store, each through any gateway; whoever finds nobody
enrols at the version it searched. So however the cluster is broken, each person must end as exactly one face.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from common.types import Vectors
from common.vectors import unit_rows
from tests.chaos.connection import Connection, NoAnswer
from tests.chaos.record import Record
from tests.conformance import Page

CAMERAS = 3
"""that see each stranger"""
NOISE = 0.008
BACK_OFF_S = 0.05
THINK_S = 0.004
BUSY = {503, 504}


@dataclass(slots=True)
class Person:
    name: str
    store: str
    row: Vectors
    """(1, 128) unit length"""
    version: int = 0
    """of the store, with the acknowledged enrolment"""
    enrolled: int = 0
    """cameras that were told 201"""
    left: bool = False
    """no camera looks at them any more"""
    erased: bool = False
    """an erasure was begun"""
    gone_at: int | None = None
    """version of the acknowledged erasure"""


@dataclass
class Crowd:
    urls: Sequence[str]
    stores: Sequence[str]
    page: Page
    record: Record
    dice: random.Random
    people: dict[str, Person] = field(default_factory=dict)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def stranger(self, numbers: np.random.Generator) -> Person:
        name = f"p{len(self.people)}"
        person = Person(name, self.dice.choice(self.stores), unit_rows(numbers.standard_normal((1, 128)), 128))
        self.people[name] = person
        return person

    def known(self) -> Person | None:
        pool = [person for person in list(self.people.values())[-400:] if person.version]
        return self.dice.choice(pool) if pool else None

    def gateways(self) -> list[Connection]:
        return [Connection(url, self.page) for url in self.urls]

    async def call(
        self, connection: Connection, what: str, method: str, path: str, rows: Vectors | None = None, query: str = ""
    ) -> tuple[int, Any] | None:
        """The answer, counted and timed; None if there was none or it says "not now"."""
        weather, began = self.record.weather, time.monotonic()
        try:
            status, body = await connection.call(method, path, rows, query)
        except NoAnswer as error:
            self.record.failed(what, str(error), began)
            return None
        if status in BUSY:
            self.record.failed(what, body["code"], began)
            return None
        self.record.took(what, weather, began)
        return status, body


async def street(crowd: Crowd, seed: int) -> None:
    """Strangers come by, one after another, each seen by all the cameras of this street at once."""
    numbers = np.random.default_rng(seed)
    cameras = [crowd.gateways() for _ in range(CAMERAS)]
    while not crowd.over.is_set():
        person = crowd.stranger(numbers)
        await asyncio.gather(*(see(crowd, person, camera, nth) for nth, camera in enumerate(cameras)))
        person.left = True
        await asyncio.sleep(THINK_S)
    for camera in cameras:
        for connection in camera:
            connection.close()


async def see(crowd: Crowd, person: Person, camera: list[Connection], nth: int) -> None:
    """One camera sees the stranger, until it knows who it is or the run is over."""
    while not crowd.over.is_set():
        gateway = crowd.dice.choice(camera)
        began = time.monotonic()
        answer = await crowd.call(gateway, "fan-out", "POST", f"/v1/stores/{person.store}/search", person.row)
        if answer is None:
            await asyncio.sleep(BACK_OFF_S)
            continue
        result = answer[1]["results"][0]
        match result["verdict"]:
            case "match":
                judge_match(crowd, person, result)
                return
            case "inconclusive":
                crowd.record.undecided(began, f"{person.name}: {result['coverage']}")
                await asyncio.sleep(BACK_OFF_S)
            case _ if await enrol(crowd, person, gateway, nth, result["route"]["versions"][person.store]):
                return


async def enrol(crowd: Crowd, person: Person, gateway: Connection, nth: int, version: int) -> bool:
    """Enrol because nobody was found; false: look again (somebody was faster, or it is not known what happened)."""
    path, query = f"/v1/stores/{person.store}/faces", f"face_id={person.name}-{nth}&expected_version={version}"
    answer = await crowd.call(gateway, "enrol", "POST", path, person.row, query)
    if answer is None or answer[0] == 409:
        return False
    if answer[0] != 201:
        crowd.record.breaks("wrong answers", f"enrolling {person.name}-{nth}: {answer}")
        return True
    person.version = answer[1]["version"]
    person.enrolled += 1
    if person.enrolled > 1:
        crowd.record.breaks("duplicate strangers", f"{person.name} was enrolled by {person.enrolled} cameras")
    return True


def judge_match(crowd: Crowd, person: Person, result: dict[str, Any]) -> None:
    best = result["candidates"][0]
    if best["face_id"].partition("-")[0] != person.name:
        crowd.record.breaks("wrong answers", f"{person.name} is taken for {best['face_id']}")


async def till(crowd: Crowd, seed: int) -> None:
    """Searches for people who were enrolled, at home (asking for the version they were enrolled at) and elsewhere."""
    numbers = np.random.default_rng(seed)
    gateways = crowd.gateways()
    while not crowd.over.is_set():
        person = crowd.known()
        if person is not None:
            await look_for(crowd, person, crowd.dice.choice(gateways), numbers)
        await asyncio.sleep(THINK_S)
    for connection in gateways:
        connection.close()


async def look_for(crowd: Crowd, person: Person, gateway: Connection, numbers: np.random.Generator) -> None:
    home = crowd.dice.random() < 0.5
    at = person.store if home else crowd.dice.choice(crowd.stores)
    known, gone_at = person.version, person.gone_at
    probe = unit_rows(person.row + NOISE * numbers.standard_normal((1, 128)), 128)
    query = f"min_version={max(known, gone_at or 0)}" if at == person.store else "scope=group"
    began = time.monotonic()
    what = "home" if home else "fan-out"
    answer = await crowd.call(gateway, what, "POST", f"/v1/stores/{at}/search", probe, query)
    if answer is not None:
        judge(crowd, person, answer[1]["results"][0], (known, gone_at, at == person.store, began))


def judge(crowd: Crowd, person: Person, result: dict[str, Any], before: tuple[int, int | None, bool, float]) -> None:
    """`before`: what was known when the question was sent."""
    known, gone_at, asked_for_version, began = before
    searched = result["route"]["versions"].get(person.store)
    verdict = result["verdict"]
    if verdict == "match":
        judge_match(crowd, person, result)
    if verdict == "inconclusive":
        crowd.record.undecided(began, f"{person.name}: {result['coverage']}")
    why = f"{person.name} of {person.store}, version {known}, erased {gone_at}: {verdict} at {searched}"
    if searched is not None and searched < max(known, gone_at or 0):
        crowd.record.older += 1
        if asked_for_version:
            crowd.record.breaks("wrong answers", f"older than the version asked for: {why}")
    elif gone_at is not None:
        if any(candidate["face_id"].partition("-")[0] == person.name for candidate in result["candidates"]):
            crowd.record.breaks("wrong answers", f"an erased face answers: {why}")
    elif not person.erased and verdict != "match" and (searched is not None or verdict == "no_match"):
        crowd.record.breaks("wrong answers", f"not found where it is: {why}")


async def eraser(crowd: Crowd) -> None:
    """Now and then somebody asks to be forgotten."""
    gateways = crowd.gateways()
    while not crowd.over.is_set():
        person = crowd.known()
        if person is not None and person.left and not person.erased:
            person.erased = True
            await erase(crowd, person, crowd.dice.choice(gateways))
        await asyncio.sleep(10 * THINK_S)
    for connection in gateways:
        connection.close()


async def erase(crowd: Crowd, person: Person, gateway: Connection) -> None:
    for nth in range(CAMERAS):
        answer = await crowd.call(gateway, "erase", "DELETE", f"/v1/stores/{person.store}/faces/{person.name}-{nth}")
        if answer is not None and answer[0] == 200:
            person.gone_at = answer[1]["version"]
            return
