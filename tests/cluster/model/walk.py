"""The random walk: operations chosen by a seeded die, each answer judged at once, everything judged after each fault.

One client does one thing at a time, so the model is never in doubt but for what was not answered. What it checks:

- every answer is one that the OpenAPI page lists, and says nothing that the truth contradicts (`judge`);
- an acknowledged write is there, a deleted face is not, a face answers with its present row only;
- after every fault: each replica of each shard holds, to the bit, the rows of the model (`Gallery.digest`).
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from common.limits import MAX_TEMPLATES
from common.types import Vectors
from common.vectors import unit_rows
from tests.cluster.model.client import Answer, Client
from tests.cluster.model.faults import Faults
from tests.cluster.model.judge import Wrong, judge_candidates, judge_known, judge_stranger
from tests.cluster.model.truth import Face, Truth

TEMPLATE_NOISE, PROBE_NOISE = 0.015, 0.008
"""a component; over 128 of them cosines of about 0.985 and 0.996 with the face's own direction"""
MOST_FACES = 1200
RESURRECTED = 0.15
BUSY = {503, 504, 0}
"""no answer now: allowed while something is broken"""


class Walk:
    def __init__(self, clients: Sequence[Client], stores: Sequence[str], shards: Sequence[str], seed: int) -> None:
        self.dice = random.Random(seed)
        self.truth = Truth({store: {} for store in stores})
        self.counts: Counter[str] = Counter()
        self.journal: deque[str] = deque(maxlen=40)
        self.calm = True
        self.faults: Faults | None = None
        self._numbers = np.random.default_rng(seed)
        self._clients = list(clients)
        self._shards = list(shards)
        self.draining: str | None = None
        self._serial = 0
        self._operations: list[tuple[float, Callable[[], None]]] = [
            (24, self._enrol),
            (10, self._add_template),
            (8, self._delete),
            (22, self._identify_at_home),
            (16, self._identify_by_fan_out),
            (8, self._enrol_a_stranger),
            (6, self._read_own_write),
            (0.4, self._move),
            (0.2, self._rebalance),
            (0.2, self._drain),
        ]

    def go(self, operations: int) -> None:
        weights, chosen = zip(*self._operations, strict=True)
        for operation in self.dice.choices(chosen, weights, k=operations):
            operation()

    def note(self, what: str) -> None:
        self.journal.append(what)

    def client(self) -> Client:
        return self.dice.choice(self._clients)

    def _store(self) -> str:
        return self.dice.choice(list(self.truth.stores))

    def _any(self, *, visible: bool = False) -> tuple[str, str, Face] | None:
        """A face that is certainly there."""
        store = self._store()
        faces = self.truth.stores[store]
        pool = [face_id for face_id in self.truth.faces(store) if faces[face_id].visible or not visible]
        if not pool:
            return None
        recent = self.dice.random() < 0.5
        face_id = self.dice.choice(pool[-20:] if recent else pool)
        return store, face_id, faces[face_id]

    def probe(self) -> Vectors:
        """A stranger, or somebody who is there: (1, 128)."""
        chosen = self._any()
        if chosen is None or self.dice.random() < 0.3:
            return self._direction()
        return self._direction(chosen[2].row, PROBE_NOISE)

    def _direction(self, near: Vectors | None = None, noise: float = 1.0) -> Vectors:
        drawn = noise * self._numbers.standard_normal((1, 128))
        return unit_rows(drawn if near is None else near + drawn, 128)

    # writes

    def _enrol(self) -> None:
        store = self._store()
        if sum(len(self.truth.faces(name)) for name in self.truth.stores) > MOST_FACES:
            self._delete()
            return
        gone = self.truth.faces(store, there=False)
        face_id = self.dice.choice(gone) if gone and self.dice.random() < RESURRECTED else self._new_id()
        self._write_templates("enrol", store, face_id, self._direction(), None)

    def _new_id(self) -> str:
        self._serial += 1
        return f"f{self._serial}"

    def _add_template(self) -> None:
        chosen = self._any()
        if chosen is None or len(chosen[2].templates) >= MAX_TEMPLATES:
            return
        store, face_id, face = chosen
        more = self._direction(face.row, TEMPLATE_NOISE)
        self._write_templates("add template", store, face_id, more, face.templates)

    def _write_templates(
        self, what: str, store: str, face_id: str, rows: Vectors, before: Vectors | None, **query: object
    ) -> Answer:
        sent = unit_rows(rows, rows.shape[1])  # what the gateway makes of it once more
        after = rows_after(before, sent)
        answer = self.client().call("POST", f"/v1/stores/{store}/faces", rows, face_id=face_id, **query)
        if answer.ok and answer.body["new"] != (before is None):
            raise Wrong(f"{what} {store}/{face_id}: new is {answer.body['new']}.")
        self._written(what, store, face_id, before, after, answer)
        return answer

    def _delete(self) -> None:
        chosen = self._any()
        if chosen is None:
            return
        store, face_id, face = chosen
        answer = self.client().call("DELETE", f"/v1/stores/{store}/faces/{face_id}")
        self._written("delete", store, face_id, face.templates, None, answer)

    def _written(
        self, what: str, store: str, face_id: str, before: Vectors | None, after: Vectors | None, answer: Answer
    ) -> None:
        self._count(what, answer)
        self.note(f"{what} {store}/{face_id} → {answer.status} {answer.code} {answer.body.get('version', '')}")
        face = self.truth.stores[store].setdefault(face_id, Face([None]))
        if answer.ok:
            if answer.body["version"] <= face.version:
                raise Wrong(f"{what} {store}/{face_id}: version {answer.body['version']} after {face.version}.")
            face.possible, face.visible, face.version = [after], bool(answer.body["visible"]), answer.body["version"]
        elif answer.unknown:
            face.possible = [before, after]
        elif answer.status not in BUSY | {409}:
            raise Wrong(f"{what} {store}/{face_id} was refused: {answer.body}.")

    def _enrol_a_stranger(self) -> None:
        """As a camera does: search, and enrol at the version searched because nobody was found."""
        store, rows = self._store(), self._direction()
        result = self._search(store, rows, "auto")
        if result is None:
            return
        judge_stranger(result, len(self.truth.stores))
        if result["verdict"] != "no_match":
            return
        version = result["route"]["versions"][store]
        unsure = {name for name, _ in self.truth.unsure()}
        answer = self._write_templates("enrol stranger", store, self._new_id(), rows, None, expected_version=version)
        if answer.status == 409 and store not in unsure and self.calm:
            raise Wrong(f"A conflict with nobody: {answer.body}.")

    # reads

    def _identify_at_home(self) -> None:
        self._identify(self.dice.choice(["auto", "store"]), home=True)

    def _identify_by_fan_out(self) -> None:
        self._identify(self.dice.choice(["auto", "group"]), home=False)

    def _identify(self, scope: str, *, home: bool) -> None:
        chosen = self._any(visible=True)
        if chosen is None:
            return
        store, face_id, face = chosen
        others = [other for other in self.truth.stores if other != store]
        at = store if home else self.dice.choice(others)
        result = self._search(at, self._direction(face.row, PROBE_NOISE), scope)
        if result is not None:
            judge_known(result, (store, face_id), face)

    def _read_own_write(self) -> None:
        """Whoever names the version of a write sees it, acknowledged as visible or not, through any gateway."""
        store = self._store()
        there = self.dice.random() < 0.7
        pool = self.truth.faces(store, there=there)
        if not pool:
            return
        face_id = self.dice.choice(pool[-10:])
        face = self.truth.stores[store][face_id]
        probe = self._direction(face.row, PROBE_NOISE) if there else self._direction()
        result = self._search(store, probe, "store", min_version=face.version)
        if result is None:
            return
        if result["route"]["versions"][store] < face.version:
            raise Wrong(f"Version {face.version} of {store} was asked for: {result['route']}.")
        if there:
            judge_known(result, (store, face_id), face)

    def _search(self, at: str, probe: Vectors, scope: str, **query: object) -> dict[str, Any] | None:
        answer = self.client().call("POST", f"/v1/stores/{at}/search", probe, scope=scope, **query)
        if answer.status in BUSY:
            if self.calm:
                raise Wrong(f"A search failed though nothing is broken: {answer}.")
            self._count("search", answer)
            return None
        if not answer.ok:
            raise Wrong(f"A search was refused: {answer.body}.")
        result: dict[str, Any] = answer.body["results"][0]
        self.note(f"search at {at} ({scope}) → {result['verdict']}")
        self.counts[f"search {result['verdict']}"] += 1
        judge_candidates(result, unit_rows(probe, probe.shape[1])[0], self.truth)
        if self.calm and result["verdict"] == "inconclusive":
            raise Wrong(f"Inconclusive though nothing is broken: {result['coverage']}.")
        return result

    # placement: none of it may be noticed by a search

    def _move(self) -> None:
        store, shard = self._store(), self.dice.choice(self._shards)
        self._order("move", self.client().json("POST", f"/v1/stores/{store}/move", {"shard": shard}))

    def _rebalance(self) -> None:
        self._order("rebalance", self.client().call("POST", "/v1/rebalance"))

    def _drain(self) -> None:
        """Drain a shard, or let the one that is drained have stores again."""
        if self.draining is None:
            self.draining = self.dice.choice(self._shards)
            self._order("drain", self.client().call("POST", f"/v1/shards/{self.draining}/drain"))
        else:
            self.undrain()

    def undrain(self) -> None:
        if self.draining is not None:
            answer = self.client().call("DELETE", f"/v1/shards/{self.draining}/drain")
            self._order("undrain", answer)
            self.draining = None if answer.ok else self.draining

    def _order(self, what: str, answer: Answer) -> None:
        self.note(f"{what} → {answer.status} {answer.code}")
        self._count(what, answer)
        if not answer.ok and answer.status not in BUSY | {404, 409}:  # 404: that shard is not alive, 409: being drained
            raise Wrong(f"{what} was refused: {answer.body}.")

    def _count(self, what: str, answer: Answer) -> None:
        self.counts[f"{what} {'ok' if answer.ok else answer.code}"] += 1
        if self.calm and answer.status in BUSY:
            raise Wrong(f"{what} failed though nothing is broken: {answer}.")
        if self.faults is not None and not answer.ok:
            self.faults.resume_redis()


def rows_after(before: Vectors | None, added: Vectors) -> Vectors:
    return added if before is None else np.concatenate([before, added])[-MAX_TEMPLATES:]
