"""Members over HTTP: profiles, whose face it is, and what a search says about it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from common import keys
from common.errors import TruthUnavailable
from common.ledger import Ledger
from common.rekeys import Rekeys
from tests.gateway.in_process import Cluster, cluster, unit

PROFILE: dict[str, Any] = {
    "display_name": "Ada Lovelace",
    "tier": "gold",
    "external_id": "crm-7",
    "attributes": {"language": "en"},
}
CARD = {"member_id": "c-1"} | PROFILE


@pytest.fixture
async def chain(redis_url: str) -> AsyncIterator[Cluster]:
    """Stores A and B, members c-1 and c-2, faces A/ada and B/ada of one person, and A/bob."""
    async with cluster(redis_url, shards=2) as running:
        for store in "AB":
            await running.create(store)
            await running.enrol(store, unit(1), face_id="ada")
        await running.enrol("A", unit(2), face_id="bob", labels={"door": "north"})
        for member in ("c-1", "c-2"):
            await put(running, member)
        yield running


async def put(chain: Cluster, member_id: str, status: int = 201, **changes: object) -> dict[str, Any]:
    response = await chain.http.put(f"/v1/members/{member_id}", json=PROFILE | changes)
    assert response.status_code == status, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def bound(chain: Cluster, method: str, path: str, status: int = 200) -> dict[str, Any]:
    """Bind (PUT) or unbind (DELETE), `path` as in c-1/faces/A/ada."""
    response = await chain.http.request(method, f"/v1/members/{path}")
    assert response.status_code == status, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def faces(chain: Cluster, member_id: str) -> list[str]:
    response = await chain.http.get(f"/v1/members/{member_id}/faces")
    assert response.status_code == 200, response.text
    return [f"{face['store']}/{face['face_id']}" for face in response.json()["faces"]]


async def entries(redis: Redis, member_id: str) -> set[str]:
    found: Any = await redis.smembers(keys.member_faces(member_id))
    return {entry.decode() for entry in found}


async def search(chain: Cluster, seed: int, store: str = "A", **options: str) -> dict[str, Any]:
    response = await chain.http.post(
        f"/v1/stores/{store}/search", json={"embeddings": unit(seed).tolist()}, params=options
    )
    assert response.status_code == 200, response.text
    result: dict[str, Any] = response.json()["results"][0]
    return result


async def test_a_profile_is_created_shown_replaced_and_listed(chain: Cluster) -> None:
    created = await put(chain, "c-3")
    assert {name: created[name] for name in CARD} == CARD | {"member_id": "c-3"}
    response = await chain.http.put("/v1/members/c-3", json={"display_name": "Ada"})
    assert response.status_code == 200
    replaced = (await chain.http.get("/v1/members/c-3")).json()
    assert replaced == response.json()
    assert (replaced["tier"], replaced["attributes"], replaced["created"]) == (None, {}, created["created"])
    assert replaced["updated"] > created["updated"]
    listed = (await chain.http.get("/v1/members")).json()
    assert ([one["member_id"] for one in listed["members"]], listed["cursor"]) == (["c-1", "c-2", "c-3"], None)


async def test_a_search_shows_the_member_of_the_best_match_and_who_each_candidate_is(chain: Cluster) -> None:
    assert (await search(chain, 1))["member"] is None
    done = await bound(chain, "PUT", "c-1/faces/A/ada")
    assert (done["kind"], done["member_id"], done["visible"], done["templates"]) == ("member", "c-1", True, 1)
    found = await search(chain, 1, scope="group", top_k="3")
    assert found["member"] == CARD
    assert [(c["store"], c["face_id"], c["kind"], c["member_id"]) for c in found["candidates"]] == [
        ("A", "ada", "member", "c-1"),
        ("B", "ada", "visitor", None),
        ("A", "bob", "visitor", None),
    ]
    assert (await search(chain, 3))["member"] is None  # nobody matches
    assert (await search(chain, 2))["member"] is None  # bob does, and is nobody's
    await bound(chain, "DELETE", "c-1/faces/A/ada")
    found = await search(chain, 1)
    assert (found["verdict"], found["member"], found["candidates"][0]["kind"]) == ("match", None, "visitor")


async def test_a_match_at_another_store_shows_the_member_too(chain: Cluster) -> None:
    await bound(chain, "PUT", "c-1/faces/A/bob")
    found = await search(chain, 2, store="B")
    assert (found["candidates"][0]["store"], found["route"]["mode"], found["member"]) == ("A", "fan_out", CARD)


async def test_binding_keeps_templates_labels_and_time_of_creation_and_is_no_sighting(
    chain: Cluster, redis: Redis
) -> None:
    await chain.enrol("A", unit(3, 2), face_id="bob")
    before = (await chain.http.get("/v1/stores/A/faces/bob")).json()
    seen = await redis.zscore(keys.seen("A"), "bob")
    templates = await redis.hget(keys.templates("A"), "bob")
    await bound(chain, "PUT", "c-1/faces/A/bob")
    after = (await chain.http.get("/v1/stores/A/faces/bob")).json()
    kept = before | {"kind": "member", "member_id": "c-1", "updated": after["updated"]}
    assert after == kept
    assert await redis.zscore(keys.seen("A"), "bob") == seen
    assert await redis.hget(keys.templates("A"), "bob") == templates
    assert await redis.hget(keys.standings("A"), "bob") == b"m:c-1"
    await bound(chain, "DELETE", "c-1/faces/A/bob")
    assert await redis.hget(keys.standings("A"), "bob") is None


async def test_a_member_has_faces_at_many_stores_and_a_face_one_member(chain: Cluster, redis: Redis) -> None:
    await bound(chain, "PUT", "c-1/faces/B/ada")
    await bound(chain, "PUT", "c-1/faces/A/ada")
    assert await faces(chain, "c-1") == ["A/ada", "B/ada"]
    moved = await bound(chain, "PUT", "c-2/faces/A/ada")
    assert moved["member_id"] == "c-2"
    assert (await faces(chain, "c-1"), await faces(chain, "c-2")) == (["B/ada"], ["A/ada"])
    assert (await entries(redis, "c-1"), await entries(redis, "c-2")) == ({"B/ada"}, {"A/ada"})
    assert await redis.hget(keys.standings("A"), "ada") == b"m:c-2"


async def test_binding_and_unbinding_once_more_changes_nothing(chain: Cluster) -> None:
    first = await bound(chain, "PUT", "c-1/faces/A/ada")
    again = await bound(chain, "PUT", "c-1/faces/A/ada")
    assert again == first
    assert (await bound(chain, "DELETE", "c-1/faces/A/ada"))["kind"] == "visitor"
    assert (await bound(chain, "DELETE", "c-1/faces/A/ada"))["kind"] == "visitor"
    assert await faces(chain, "c-1") == []


async def test_staff_stays_staff_bound_or_not(chain: Cluster, redis: Redis) -> None:
    await chain.enrol("A", unit(4), face_id="eve", kind="staff")
    assert (await bound(chain, "PUT", "c-1/faces/A/eve"))["kind"] == "staff"
    assert await redis.hget(keys.standings("A"), "eve") == b"s:c-1"
    found = await search(chain, 4)
    assert (found["candidates"][0]["kind"], found["member"]) == ("staff", CARD)
    assert (await bound(chain, "DELETE", "c-1/faces/A/eve"))["kind"] == "staff"
    assert await redis.hget(keys.standings("A"), "eve") == b"s"
    assert (await search(chain, 4))["member"] is None


@pytest.mark.parametrize(
    ("method", "path", "code", "field"),
    [
        ("PUT", "nobody/faces/A/ada", "UNKNOWN_MEMBER", "member_id"),
        ("DELETE", "nobody/faces/A/ada", "UNKNOWN_MEMBER", "member_id"),
        ("PUT", "c-1/faces/A/nobody", "UNKNOWN_FACE", "face_id"),
        ("DELETE", "c-1/faces/A/nobody", "UNKNOWN_FACE", "face_id"),
        ("PUT", "c-1/faces/Z/ada", "UNKNOWN_STORE", "store"),
        ("DELETE", "c-1/faces/Z/ada", "UNKNOWN_STORE", "store"),
        ("GET", "nobody", "UNKNOWN_MEMBER", "member_id"),
        ("GET", "nobody/faces", "UNKNOWN_MEMBER", "member_id"),
        ("DELETE", "nobody", "UNKNOWN_MEMBER", "member_id"),
    ],
)
async def test_what_is_not_there_is_named(chain: Cluster, method: str, path: str, code: str, field: str) -> None:
    problem = await bound(chain, method, path, status=404)
    assert (problem["code"], problem["field"]) == (code, field)
    assert await chain.services.ledger.version("A") == 2  # nothing was written


async def test_another_members_face_is_not_unbound(chain: Cluster) -> None:
    await bound(chain, "PUT", "c-1/faces/A/ada")
    problem = await bound(chain, "DELETE", "c-2/faces/A/ada", status=409)
    assert (problem["code"], problem["field"]) == ("FACE_BOUND", "member_id")
    assert await faces(chain, "c-1") == ["A/ada"]


async def test_deleting_a_member_unbinds_its_faces_and_keeps_them(chain: Cluster, redis: Redis) -> None:
    for face in ("A/ada", "B/ada", "A/bob"):
        await bound(chain, "PUT", f"c-1/faces/{face}")
    assert (await chain.http.delete("/v1/members/c-1")).status_code == 204
    assert (await chain.http.get("/v1/members/c-1")).status_code == 404
    for face in ("A/faces/ada", "B/faces/ada", "A/faces/bob"):
        answer = (await chain.http.get(f"/v1/stores/{face}")).json()
        assert (answer["kind"], answer["member_id"]) == ("visitor", None)
    assert await redis.exists(keys.member_faces("c-1"), keys.standings("A")) == 0
    assert (await search(chain, 1))["member"] is None


@pytest.mark.parametrize("of_old", [False, True])
async def test_staff_bound_to_a_member_leave_its_list_when_their_store_is_deleted(
    chain: Cluster, redis: Redis, of_old: bool
) -> None:
    await chain.enrol("A", unit(4), face_id="eve", kind="staff")
    await bound(chain, "PUT", "c-1/faces/A/eve")
    if of_old:  # as it was written before it said whose
        await redis.hset(keys.standings("A"), "eve", "s")
    assert (await chain.http.delete("/v1/stores/A?force=true")).status_code == 204
    assert await entries(redis, "c-1") == set()


async def test_staff_erased_by_a_gateway_that_dies_leave_their_members_list(
    chain: Cluster, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever goes on knows of the face what its standing said."""
    await chain.enrol("A", unit(4), face_id="eve", kind="staff")
    await bound(chain, "PUT", "c-1/faces/A/eve")

    async def die(*_: object) -> None:
        raise TruthUnavailable("Redis: away.", outcome="unknown")

    with monkeypatch.context() as dying:
        dying.setattr(Rekeys, "jobs_of", die)
        assert (await chain.http.delete("/v1/stores/A/faces/eve")).status_code == 200
    assert await entries(redis, "c-1") == {"A/eve"}
    await chain.services.rekeying.turn()
    assert await entries(redis, "c-1") == set()


async def test_a_binding_cut_short_whose_face_is_erased_is_forgotten_when_the_list_is_read(
    chain: Cluster, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def die(*_: object, **__: object) -> None:
        raise TruthUnavailable("Redis: away.", outcome="unchanged")

    with monkeypatch.context() as dying:
        dying.setattr(Ledger, "commit", die)
        await bound(chain, "PUT", "c-1/faces/A/bob", status=503)
    await bound(chain, "PUT", "c-1/faces/B/ada")
    assert (await chain.http.delete("/v1/stores/A/faces/bob")).status_code == 200
    assert await entries(redis, "c-1") == {"A/bob", "B/ada"}
    assert await faces(chain, "c-1") == ["B/ada"]
    assert await entries(redis, "c-1") == {"B/ada"}


async def test_faces_of_a_deleted_store_keep_no_member_from_being_deleted(chain: Cluster, redis: Redis) -> None:
    await bound(chain, "PUT", "c-1/faces/B/ada")
    assert (await chain.http.delete("/v1/stores/B?force=true")).status_code == 204
    assert await faces(chain, "c-1") == []
    assert (await chain.http.delete("/v1/members/c-1")).status_code == 204
    assert await entries(redis, "c-1") == set()


async def test_an_erased_face_is_forgotten_by_its_member_but_not_one_that_is_the_members_again(
    chain: Cluster, redis: Redis
) -> None:
    await bound(chain, "PUT", "c-1/faces/A/ada")
    await chain.services.members.forget_face("c-1", "A", "ada")
    assert await entries(redis, "c-1") == {"A/ada"}  # it is bound, whatever somebody says
    version = chain.services.view.stores["A"]
    await chain.services.members.forget_face("c-1", version.store, "never-there")
    await chain.http.delete("/v1/stores/A/faces/ada")
    await chain.services.members.forget_face("c-1", "A", "ada")
    assert await entries(redis, "c-1") == set()
    await chain.services.members.forget_face("c-1", "a-store-that-is-gone", "ada")


@pytest.mark.parametrize(
    ("changes", "field", "limit"),
    [
        ({"display_name": ""}, "display_name", 1),
        ({"display_name": "  "}, "display_name", 128),
        ({"display_name": "x" * 129}, "display_name", 128),
        ({"display_name": "a\nb"}, "display_name", 128),
        ({"display_name": None}, "display_name", None),
        ({"tier": "x" * 65}, "tier", 64),
        ({"tier": "\u202e"}, "tier", 64),
        ({"external_id": "x" * 129}, "external_id", 128),
        ({"attributes": {f"k{n}": "" for n in range(33)}}, "attributes", 32),
        ({"attributes": {"k": "x" * 257}}, "attributes", 256),
        ({"attributes": {"k": "\x00"}}, "attributes", 256),
        ({"attributes": {"": "x"}}, "attributes", None),
        ({"attributes": {"k": 1}}, "attributes.k", None),
        ({"nickname": "Ada"}, "nickname", None),
    ],
)
async def test_a_profile_over_the_limits_is_refused_naming_field_and_limit(
    chain: Cluster, changes: dict[str, Any], field: str, limit: int | None
) -> None:
    problem = await put(chain, "c-9", status=422, **changes)
    assert (problem["code"], problem["field"]) == ("INVALID_REQUEST", field)
    if limit is not None:
        assert problem["limit"] == limit
    assert (await chain.http.get("/v1/members/c-9")).status_code == 404


async def test_names_that_are_none_are_refused_everywhere(chain: Cluster) -> None:
    for method, path in (
        ("PUT", "a%20b"),
        ("GET", "a%20b"),
        ("DELETE", "-"),
        ("GET", ".x/faces"),
        ("PUT", "a%20b/faces/A/ada"),
        ("PUT", "c-1/faces/A/a%20b"),
    ):
        response = await chain.http.request(method, f"/v1/members/{path}", json=PROFILE)
        assert (response.status_code, response.json()["code"]) == (422, "INVALID_REQUEST"), path
    assert (await chain.http.get("/v1/members?limit=0")).json()["field"] == "limit"
    assert (await chain.http.get("/v1/members?cursor=x")).json()["field"] == "cursor"


async def test_enrolling_more_templates_keeps_the_member_and_never_makes_a_visitor_of_it(chain: Cluster) -> None:
    await bound(chain, "PUT", "c-1/faces/A/ada")
    added = await chain.enrol("A", unit(1, 2)[1:], face_id="ada")
    assert (added["kind"], added["member_id"], added["templates"]) == ("member", "c-1", 2)
    response = await chain.http.post(
        "/v1/stores/A/faces", json={"embeddings": unit(5).tolist(), "face_id": "ada", "kind": "visitor"}
    )
    assert (response.status_code, response.json()["code"], response.json()["field"]) == (409, "FACE_BOUND", "kind")


async def test_a_search_without_redis_still_says_who_it_is_but_shows_no_card(
    chain: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bound(chain, "PUT", "c-1/faces/A/ada")

    async def away(_: object) -> dict[str, object]:
        raise TruthUnavailable("Redis: away.", outcome="unchanged")

    monkeypatch.setattr(chain.services.members._book, "profiles", away)
    found = await search(chain, 1)
    assert (found["verdict"], found["member"], found["candidates"][0]["member_id"]) == ("match", None, "c-1")


async def test_a_renamed_member_is_shown_so_at_once_by_the_gateway_that_was_told(chain: Cluster) -> None:
    await bound(chain, "PUT", "c-1/faces/A/ada")
    assert (await search(chain, 1))["member"] == CARD
    await put(chain, "c-1", status=200, display_name="Ada L.")
    assert (await search(chain, 1))["member"]["display_name"] == "Ada L."


async def test_one_face_more_than_a_member_may_have_is_refused(chain: Cluster, redis: Redis) -> None:
    await redis.sadd(keys.member_faces("c-1"), *(f"A/f{n}" for n in range(256)))
    problem = await bound(chain, "PUT", "c-1/faces/A/ada", status=409)
    assert (problem["code"], problem["field"], problem["limit"]) == ("MEMBER_FULL", "member_id", 256)
    assert (await chain.http.get("/v1/stores/A/faces/ada")).json()["kind"] == "visitor"
