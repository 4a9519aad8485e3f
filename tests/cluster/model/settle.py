"""After a fault: wait until the cluster is whole, find out what was in doubt, and compare everything with the model."""

from __future__ import annotations

import time
from typing import Any

import httpx
import numpy as np

from deploy.local.cluster import LocalCluster
from tests.cluster.model.client import Client
from tests.cluster.model.judge import SCORE_SLACK, Wrong
from tests.cluster.model.truth import State, Truth
from tests.cluster.model.walk import Walk

WHOLE_S = 90.0
PROBES, TOP_K = 8, 10
PAGE = 1000


def settle(cluster: LocalCluster, clients: list[Client], walk: Walk) -> None:
    """Raises Wrong for the first difference between the cluster and the model."""
    deadline = time.monotonic() + WHOLE_S
    while (why := cluster.lacks()) is not None:
        if time.monotonic() > deadline:
            raise Wrong(f"Not whole {WHOLE_S:.0f} s after the last fault ended: {why}")
        time.sleep(0.05)
    walk.undrain()
    for store, face_id in walk.truth.unsure():
        resolve(clients[0], walk, store, face_id)
    for store in walk.truth.stores:
        compare_list(clients[0], walk.truth, store)
    while (difference := replicas_differ(clients[0], walk.truth)) is not None:
        if time.monotonic() > deadline:
            raise Wrong(difference)
        time.sleep(0.05)
    for faces in walk.truth.stores.values():
        for face in faces.values():
            face.visible = True
    for client in clients:
        compare_answers(client, walk)


def resolve(client: Client, walk: Walk, store: str, face_id: str) -> None:
    """Ask what became of an operation that was not answered: it must be one of the things possible."""
    answer = client.call("GET", f"/v1/stores/{store}/faces/{face_id}")
    face = walk.truth.stores[store][face_id]
    there = answer.body["templates"] if answer.ok else 0
    fitting = [state for state in face.possible if count(state) == there]
    if not fitting or answer.status not in {200, 404}:
        raise Wrong(f"{store}/{face_id} is {answer}, possible were {[count(s) for s in face.possible]} templates.")
    face.possible = fitting[:1]
    walk.note(f"{store}/{face_id} turned out to have {there} templates")


def count(state: State) -> int:
    return 0 if state is None else len(state)


def compare_list(client: Client, truth: Truth, store: str) -> None:
    """The store's faces in Redis are those of the model, with as many templates."""
    listed: dict[str, int] = {}
    cursor: str | None = "0"
    while cursor is not None:
        answer = client.call("GET", f"/v1/stores/{store}/faces", cursor=cursor, limit=PAGE)
        if not answer.ok:
            raise Wrong(f"The faces of {store} cannot be listed: {answer}.")
        listed |= {face["face_id"]: face["templates"] for face in answer.body["faces"]}
        cursor = answer.body["cursor"]
    expected = {face_id: len(truth.stores[store][face_id].templates) for face_id in truth.faces(store)}
    if listed != expected:
        raise Wrong(
            f"Store {store}: lost {sorted(expected.keys() - listed.keys())[:5]}, "
            f"back or never enrolled {sorted(listed.keys() - expected.keys())[:5]}, "
            f"other templates {[f for f in listed.keys() & expected.keys() if listed[f] != expected[f]][:5]}."
        )


def replicas_differ(client: Client, truth: Truth) -> str | None:
    """What a replica holds that the model does not, or the other way round; None if all hold the same, to the bit."""
    expected = {store: truth.digest(store) for store in truth.stores}
    seen: set[str] = set()
    for shard in client.call("GET", "/v1/shards").body["shards"]:
        for replica in shard["replicas"]:
            stores = digests(replica["url"])
            name = f"{shard['shard']}/{replica['replica']}"
            if set(stores) != set(shard["stores"]):
                return f"{name} serves {sorted(stores)}, the map says {shard['stores']}."
            wrong = {store: stores[store] for store in stores if stores[store]["digest"] != expected[store]}
            if wrong:
                return f"{name} holds other rows than were acknowledged: {wrong}."
            seen |= stores.keys()
    return None if seen == expected.keys() else f"Nobody serves {sorted(expected.keys() - seen)}."


def digests(url: str) -> dict[str, dict[str, Any]]:
    try:
        answer = httpx.get(f"{url}/status", params={"digest": True}, timeout=20, trust_env=False)
        stores: dict[str, dict[str, Any]] = answer.raise_for_status().json()["stores"]
    except httpx.HTTPError:
        return {}
    return stores


def compare_answers(client: Client, walk: Walk) -> None:
    """Sharded answers equal one numpy product over the model's rows."""
    faces = sum(len(walk.truth.faces(store)) for store in walk.truth.stores)
    for _ in range(PROBES if faces else 0):
        probe = walk.probe()
        expected = walk.truth.best(probe[0], TOP_K)
        at = walk.dice.choice(list(walk.truth.stores))
        answer = client.call("POST", f"/v1/stores/{at}/search", probe, scope="group", top_k=TOP_K, threshold=1)
        if not answer.ok:
            raise Wrong(f"A search fails though the cluster is whole: {answer}.")
        (result,) = answer.body["results"]
        found = [(c["store"], c["face_id"], c["score"]) for c in result["candidates"]]
        same = [one[:2] for one in found] == [one[:2] for one in expected]
        if not same or not np.allclose([one[2] for one in found], [one[2] for one in expected], atol=SCORE_SLACK):
            raise Wrong(f"The cluster answers {found[:3]}, numpy {expected[:3]}.")
        if result["coverage"]["rows"] != faces or result["coverage"]["stores"]["missing"]:
            raise Wrong(f"Not all of {faces} rows were searched though the cluster is whole: {result['coverage']}.")
