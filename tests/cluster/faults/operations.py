"""The operations of the table: each does its one thing and says what came of it, in the words of the cells."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import httpx

from common.types import Vectors
from tests.cluster.faults.scene import ANN, BOB, CARL, HIT, NEW, STRANGER, Scene


def outcome(answer: httpx.Response, said: Callable[[httpx.Response], str]) -> str:
    """`said` of a success; the code of a problem, and whether a write may have happened."""
    if answer.is_success:
        return f"{answer.status_code} {said(answer)}"
    problem = answer.json()
    unknown = ", outcome unknown" if problem.get("outcome") == "unknown" else ""
    return f"{answer.status_code} {problem['code']}{unknown}"


async def enrol(scene: Scene) -> str:
    """A new face at B."""
    body = {"embeddings": NEW.tolist(), "face_id": "new"}
    answer = await scene.cluster.http.post("/v1/stores/B/faces", json=body)
    return outcome(answer, lambda done: "visible" if done.json()["visible"] else "not yet visible")


async def identify_at_home(scene: Scene) -> str:
    """At B, somebody who was enrolled there long ago."""
    return await search(scene, "B", BOB, {"scope": "store"})


async def read_own_write(scene: Scene) -> str:
    """At B, who was enrolled there last; the version of that enrolment is asked for."""
    row = CARL if scene.version > 1 else BOB
    return await search(scene, "B", row, {"scope": "store", "min_version": scene.version})


async def identify_by_fan_out(scene: Scene) -> str:
    """At A, somebody whom nobody knows: B has to be searched to say so."""
    return await search(scene, "A", STRANGER, {"scope": "auto"})


async def search(scene: Scene, store: str, row: Vectors, params: dict[str, str | int]) -> str:
    body = {"embeddings": row.tolist()}
    answer = await scene.cluster.http.post(f"/v1/stores/{store}/search", params=params, json=body)
    return outcome(answer, lambda found: found.json()["results"][0]["verdict"])


async def erase(scene: Scene) -> str:
    """Bob, of B; a receipt that is complete or not."""
    answer = await scene.cluster.http.delete("/v1/stores/B/faces/bob")
    return outcome(answer, lambda done: "complete" if done.json()["complete"] else "not yet complete")


async def move(scene: Scene) -> str:
    """A to the shard that is hit: done, or waiting while A is searched where it was."""
    answer = await scene.cluster.http.post("/v1/stores/A/move", json={"shard": HIT})
    if not answer.is_success:
        return outcome(answer, str)
    loop = asyncio.get_running_loop()
    end = loop.time() + scene.move_s
    while (moved := await place_of_a(scene)) != (HIT, None) and loop.time() < end:
        await asyncio.sleep(0.02)
    assert await search(scene, "A", ANN, {"scope": "store"}) == "200 match"  # whatever became of the move
    return f"{answer.status_code} {'moved' if moved == (HIT, None) else 'waits'}"


async def place_of_a(scene: Scene) -> tuple[str, object]:
    store = (await scene.cluster.http.get("/v1/stores/A")).json()
    return store["shard"], store["move"]


OPERATIONS: dict[str, Callable[[Scene], Awaitable[str]]] = {
    "enrol": enrol,
    "identify at home": identify_at_home,
    "with min_version": read_own_write,
    "identify by fan-out": identify_by_fan_out,
    "erase": erase,
    "move": move,
}
