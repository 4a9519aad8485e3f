"""Erased everywhere: nothing in Redis names the face any more, whatever was interrupted; its visits stay counted."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from redis.asyncio import Redis

from common import keys
from common.cluster_map import StoreConfig
from common.errors import TruthUnavailable
from common.events import Events
from common.intervals import Interval
from common.ledger import Delete
from common.pending import Pending, Waiting
from common.records import pack_vectors
from common.rekeys import Job, Rekeys
from common.types import DLIB_SPACE
from common.visits import Seen, Visits, person_of
from gateway.members import Members
from gateway.rekeying import Rekeying
from gateway.spaces import shipped_curve
from gateway.unnaming import Batch, Known
from tests.bench.faces import Faces
from tests.gateway.in_process import Cluster, cluster, unit
from tests.gateway.remains import Fault, naming

ADA = "ada-4711"
ADAS = unit(1)
START = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=30)
STEPS: list[tuple[type, str]] = [
    (Rekeys, "jobs_of"),
    (Visits, "rekey"),
    (Members, "forget_face"),
    (Events, "forget"),
    (Rekeys, "forget_announced"),
    (Visits, "record_anonymous"),
    (Pending, "replace"),
    (Rekeys, "change"),
]
STEPS_OF_ADA = 12
"""calls of those that the erasure in `chain` makes; a test compares"""


@pytest.fixture
async def chain(redis_url: str) -> AsyncIterator[Cluster]:
    """Ada of A, a member's face, was seen at A and B; at C, whose shard is away, one of two that wait may be her."""
    async with cluster(redis_url, shards=3) as running:
        for store, shard in (("A", "s1"), ("B", "s2"), ("C", "s3")):
            await running.create(store, shard=shard)
        await running.enrol("A", ADAS, face_id=ADA)
        await running.http.put("/v1/members/m-7", json={"display_name": "Ada"})
        assert (await running.http.put(f"/v1/members/m-7/faces/A/{ADA}")).status_code == 200
        for store, minutes in (("A", 0), ("A", 90), ("B", 200), ("B", 210)):
            assert await see(running, store, minutes) == "counted"
        running.shards.apps.pop("s3-a")
        now = (datetime.now(UTC) - START) // timedelta(
            minutes=1
        )  # nobody is told of what is older than a visit's window
        assert await see(running, "C", now) == "pending"
        await beside_ada(running)
        yield running


async def see(running: Cluster, store: str, minutes: int, rows: np.ndarray = ADAS) -> str:
    body = {"embeddings": rows.tolist(), "at": (START + timedelta(minutes=minutes)).isoformat()}
    response = await running.http.post(f"/v1/stores/{store}/sightings", json=body)
    assert response.status_code == 200, response.text
    return str(response.json()["faces"][0]["outcome"])


async def beside_ada(running: Cluster) -> None:
    """Somebody whom nobody knows, seen at C, and not her: she is in the same picture."""
    others = (person(running),)
    await running.services.pending.add(running.services.view.stores["C"], Waiting(unit(99)[0], ms(215), "", others))


def ms(minutes: int) -> int:
    return int((START + timedelta(minutes=minutes)).timestamp() * 1000)


def person(running: Cluster, face_id: str = ADA, store: str = "A") -> str:
    return person_of(running.services.view.stores[store], face_id)


async def erase(running: Cluster) -> None:
    response = await running.http.delete(f"/v1/stores/A/faces/{ADA}")
    assert (response.status_code, response.json()["deleted"]) == (200, True)


async def visits(running: Cluster, store: str) -> dict[str, list[Interval]]:
    found = running.services.visits
    return await found.intervals(store, sorted(await found.dates(store)))


def leader(running: Cluster, late_s: float = 0.0) -> Rekeying:
    """Another gateway's, which knows nothing but what Redis says, and for which everything is late."""
    return Rekeying(running.services.view, running.services.rekeying._truths, late_s)


async def figures(running: Cluster) -> dict[str, list[list[Interval]]]:
    return {store: sorted((await visits(running, store)).values()) for store in "AB"}


async def test_an_erased_face_is_named_nowhere_but_in_the_feed(chain: Cluster, redis: Redis) -> None:
    """The feed says that a face with this id was written and is gone; it is trimmed by its length. The job says under
    which name the visits go on, until the sweep."""
    before = await figures(chain)
    named = await naming(redis, ADA.encode())
    assert {keys.faces("A"), keys.member_faces("m-7"), keys.events("B"), keys.firsts("B"), keys.pending("C")} <= named
    await erase(chain)
    assert await naming(redis, ADA.encode()) == {keys.feed("A"), keys.rekeys("A")}
    await leader(chain).turn()
    assert await naming(redis, ADA.encode()) == {keys.feed("A")}
    assert await naming(redis, pack_vectors(ADAS)[:64]) == set()
    assert await figures(chain) == before


async def test_her_visits_are_one_unnamed_members_at_every_store(chain: Cluster) -> None:
    """Also the sighting that waited: the stranger beside her waits on, and nothing says any more who he is not."""
    await erase(chain)
    names = [set(await visits(chain, store)) for store in "ABC"]
    assert names[0] == names[1] == names[2]
    assert names[0].pop().startswith("~m")
    (left,) = await chain.services.pending.entries("C")
    assert (left.at_ms, left.others, bool((left.probe == unit(99)[0]).all())) == (ms(215), (), True)


async def test_the_fault_test_strikes_every_step(chain: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = Fault(monkeypatch, STEPS, at=1000)
    await erase(chain)
    assert fault.calls == STEPS_OF_ADA


@pytest.mark.parametrize("at", range(STEPS_OF_ADA))
async def test_what_a_gateway_leaves_when_it_dies_the_leader_finishes(
    chain: Cluster, redis: Redis, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    before = await figures(chain)
    fault = Fault(monkeypatch, STEPS, at)
    await erase(chain)
    assert fault.struck
    fault.on = False
    await leader(chain).turn()
    assert await naming(redis, ADA.encode()) == {keys.feed("A")}
    assert await figures(chain) == before
    assert len({name for store in "ABC" for name in await visits(chain, store)}) == 1


async def test_what_the_leader_leaves_the_next_one_finishes(
    chain: Cluster, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = Fault(monkeypatch, [(Rekeys, "jobs_of")], at=0)
    await erase(chain)
    assert lost.struck
    for at in range(STEPS_OF_ADA):
        with monkeypatch.context() as patch:
            Fault(patch, STEPS, at)
            with contextlib.suppress(TruthUnavailable):
                await leader(chain).turn()
    await leader(chain).turn()
    assert await naming(redis, ADA.encode()) == {keys.feed("A")}


async def test_a_waiting_probe_that_looks_like_her_is_dropped_though_nothing_names_her(chain: Cluster) -> None:
    like = ADAS[0] + 0.03 * unit(5)[0]
    like = np.ascontiguousarray(like / np.linalg.norm(like), dtype=np.float32)
    assert float(like @ ADAS[0]) > 0.99
    await chain.services.pending.add(chain.services.view.stores["C"], Waiting(like, ms(220)))
    await erase(chain)
    assert [waiting.at_ms for waiting in await chain.services.pending.entries("C")] == [ms(215)]
    (found,) = (await visits(chain, "C")).values()
    assert (ms(220), ms(220)) in found


async def test_a_waiting_probe_that_must_be_somebody_elses_is_kept_though_it_looks_like_her(chain: Cluster) -> None:
    """Of one it matched more than being alike, in the other's picture she was as well."""
    await chain.enrol("B", unit(3), face_id="bob")
    store, bob = chain.services.view.stores["C"], person(chain, "bob", "B")
    await chain.services.pending.add(store, Waiting(ADAS[0], ms(220), bob))
    await chain.services.pending.add(store, Waiting(ADAS[0], ms(225), "", (person(chain), bob)))
    await erase(chain)
    left = {waiting.at_ms: waiting for waiting in await chain.services.pending.entries("C")}
    assert {at: (one.announced, one.others) for at, one in left.items()} == {
        ms(215): ("", ()),
        ms(220): (bob, ()),
        ms(225): ("", (bob,)),
    }


def test_the_more_faces_are_erased_the_more_alike_a_waiting_probe_must_be() -> None:
    """Or nearly everybody who waits were one of them."""
    made = Faces.load()
    rows, waiting = made.strangers(200, 7), [Waiting(row, 0) for row in made.strangers(100, 8)]
    jobs = [Job("A", f"f{nth}", f"A/0/f{nth}", "~v1", 0, ()) for nth in range(len(rows))]
    known = {job.face_id: Known(row, None) for job, row in zip(jobs, rows, strict=True)}
    batch = Batch(StoreConfig("A", "s1"), jobs, known, set())
    curve = shipped_curve(DLIB_SPACE)
    assert sum(batch.most_alike(one, curve) is not None for one in waiting) <= 5
    again = [Waiting(row, 0) for row in rows[:50]]
    assert [batch.most_alike(one, curve) for one in again] == jobs[:50]


async def test_what_another_erasure_renames_at_this_moment_waits_once_and_names_neither(
    chain: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    await chain.enrol("A", unit(3), face_id="bob")
    await chain.enrol("A", unit(4), face_id="eve")
    services = chain.services
    store, both = services.view.stores["C"], (person(chain), person(chain, "bob"))
    await services.pending.add(store, Waiting(unit(60)[0], ms(220), "", both, "picture"))
    await services.pending.add(store, Waiting(unit(61)[0], ms(225), person(chain), (person(chain, "eve"),)))
    meanwhile, real = iter(["bob", "eve"]), Pending.replace

    async def later(pending: Pending, store: StoreConfig, waiting: Waiting) -> bool:
        if (face_id := next(meanwhile, None)) is not None:
            assert (await chain.http.delete(f"/v1/stores/A/faces/{face_id}")).status_code == 200
        return await real(pending, store, waiting)

    monkeypatch.setattr(Pending, "replace", later)
    await erase(chain)
    left = sorted(await services.pending.entries("C"), key=lambda one: one.at_ms)
    assert [(one.at_ms, one.others) for one in left] == [(ms(215), ()), (ms(220), ())]


async def test_a_store_that_went_to_another_group_is_erased_from_what_waits_in_the_old_one(
    chain: Cluster, redis: Redis
) -> None:
    assert (await chain.http.put("/v1/stores/A", json={"group": "other"})).status_code == 200
    await erase(chain)
    await leader(chain).turn()
    assert await naming(redis, ADA.encode()) == {keys.feed("A")}
    assert await naming(redis, pack_vectors(ADAS)[:64]) == set()


async def test_events_of_one_who_was_merged_can_be_judged_for_a_while_and_are_gone_before_she_is_erased(
    chain: Cluster, redis: Redis
) -> None:
    await chain.enrol("B", unit(3), face_id="zoe-0815")
    assert (await chain.http.delete(f"/v1/members/m-7/faces/A/{ADA}")).status_code == 200
    faces = {"into": {"store": "B", "face_id": "zoe-0815"}, "from": {"store": "A", "face_id": ADA}}
    assert (await chain.http.post("/v1/faces/merge", json=faces)).status_code == 200
    assert {keys.events("A"), keys.events("B")} <= await naming(redis, ADA.encode())
    await leader(chain).turn()
    assert (await chain.http.delete("/v1/stores/B/faces/zoe-0815")).status_code == 200
    await leader(chain).turn()
    assert await naming(redis, ADA.encode()) == {keys.feed("A")}
    assert await naming(redis, b"zoe-0815") == {keys.feed("B")}


async def test_a_sighting_that_lands_late_is_swept_and_then_the_job_is_forgotten(chain: Cluster) -> None:
    """It had found the face at home a moment before it went, and reaches the other store's visits only now."""
    services = chain.services
    old = person(chain)
    await erase(chain)
    (name,) = await visits(chain, "B")
    b = services.view.stores["B"]
    await services.visits._run("visit", b, Seen(b, services.view.stores["A"], ADA, ms(600)), "")
    assert set(await visits(chain, "B")) == {name, old}
    await leader(chain, late_s=3600).turn()
    assert set(await visits(chain, "B")) == {name, old}  # not yet: more may come
    await leader(chain).turn()
    assert set(await visits(chain, "B")) == {name}
    assert await services.rekeying._truths.rekeys.job("A", ADA) is None


async def test_one_who_is_created_anew_under_the_same_id_keeps_what_comes_after(chain: Cluster) -> None:
    await erase(chain)
    await chain.enrol("A", unit(2), face_id=ADA)
    assert await see(chain, "A", 700, unit(2)) == "counted"
    await leader(chain).turn()
    assert person(chain) in await visits(chain, "A")
    assert await chain.services.rekeying._truths.rekeys.job("A", ADA) is None


async def test_a_store_that_is_gone_is_no_reason_to_keep_the_job(chain: Cluster, redis: Redis) -> None:
    assert (await chain.http.delete("/v1/stores/B?force=true")).status_code == 204
    await erase(chain)
    await leader(chain).turn()
    assert await naming(redis, ADA.encode()) == {keys.feed("A")}


async def test_who_became_somebody_who_is_erased_too_goes_under_that_ones_name(chain: Cluster) -> None:
    """A merge cut short before its visits were moved, and the other face erased meanwhile."""
    await chain.enrol("B", unit(3), face_id="eve")
    assert await see(chain, "B", 300, unit(3)) == "counted"
    services = chain.services
    a = services.view.stores["A"]
    await services.ledger.commit("A", a.incarnation, deletes=[Delete(ADA, rekey_to=person(chain, "eve", "B"))])
    assert (await chain.http.delete("/v1/stores/B/faces/eve")).status_code == 200
    (eve,) = [name for name in await visits(chain, "B") if name.startswith("~")]
    await leader(chain, late_s=3600).turn()
    assert {name for store in "AB" for name in await visits(chain, store)} == {eve}


async def test_who_became_somebody_of_whom_nothing_is_left_gets_one_new_name(chain: Cluster) -> None:
    services = chain.services
    a = services.view.stores["A"]
    await services.ledger.commit("A", a.incarnation, deletes=[Delete(ADA, rekey_to="Z/00000000/nobody")])
    await leader(chain).turn()
    (name,) = {name for store in "AB" for name in await visits(chain, store)}
    assert name.startswith("~m")


async def test_two_who_work_at_one_job_agree_on_its_name(redis: Redis) -> None:
    rekeys = Rekeys(redis)
    job = Job("A", ADA, f"A/0/{ADA}", "Z/0/gone", 1, ("B", "C"))
    await redis.hset(keys.rekeys("A"), ADA, job.written())
    (read,) = await rekeys.jobs_of("A", [ADA, "other"])
    assert await rekeys.change(read, replace(read, to="~v1")) is not None
    assert await rekeys.change(read, replace(read, to="~v2")) is None
    present = await rekeys.job("A", ADA)
    assert present is not None
    assert (present.to, present.places, present.member_id) == ("~v1", ("B", "C"), None)
    await rekeys.done(read)
    assert await rekeys.with_jobs(["A", "B"]) == ["A"]
    await rekeys.done(present)
    assert await rekeys.with_jobs(["A", "B"]) == []


async def test_an_erasure_while_nobody_can_finish_it_is_answered_in_time(
    chain: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The receipt is about the replicas, and they have dropped the row."""
    Fault(monkeypatch, STEPS, at=0)
    response = await chain.http.delete(f"/v1/stores/A/faces/{ADA}")
    assert (response.status_code, response.json()["deleted"]) == (200, True)
    assert "s1/a" in response.json()["confirmed"]
