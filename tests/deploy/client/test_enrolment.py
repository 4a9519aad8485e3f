"""Enrolling people: nobody is lost because of somebody else's photo, and nothing is dropped silently."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from deploy.client.enrolment import Options, Outcome, enrol_people, enrol_person
from deploy.client.http import GatewayAway, Problem
from deploy.client.photos import Person, Photo
from tests.deploy.client.faults import Store, client_of, photos_in, problem


def person(face_id: str, *photos: str) -> Person:
    return Person(face_id, tuple(Photo(name, b"pixels") for name in photos))


def enrolled(store: Store, *people: Person, again: bool = False) -> dict[str, Outcome]:
    outcomes = enrol_people(client_of(store), "vienna", people, Options(), again=again)
    return {outcome.face_id: outcome for outcome in outcomes}


def test_a_person_is_one_request_with_all_photos() -> None:
    store = Store()
    outcomes = enrolled(store, person("ada", "1.jpg", "2.jpg"), person("bob", "3.jpg"))
    assert store.faces == {"ada": ["1.jpg", "2.jpg"], "bob": ["3.jpg"]}
    assert store.requests == 2
    assert outcomes["ada"] == Outcome("ada", enrolled=2, created=True)


def test_refused_photos_are_left_out_with_their_reasons_and_the_rest_is_enrolled() -> None:
    store = Store(refused={"2.jpg": "NO_FACE", "4.jpg": "MULTIPLE_FACES"})
    outcome = enrolled(store, person("ada", "1.jpg", "2.jpg", "3.jpg", "4.jpg"))["ada"]
    assert store.faces == {"ada": ["1.jpg", "3.jpg"]}
    assert store.requests == 2
    assert outcome.enrolled == 2
    assert [(photo.name, photo.reason) for photo in outcome.skipped] == [
        ("2.jpg", "the photo no_face. [NO_FACE]"),
        ("4.jpg", "the photo multiple_faces. [MULTIPLE_FACES]"),
    ]


def test_a_problem_that_names_no_photo_is_found_by_sending_each_by_itself() -> None:
    store = Store(refused={"2.jpg": "BODY_TOO_LARGE"}, indexed=False)
    outcome = enrolled(store, person("ada", "1.jpg", "2.jpg", "3.jpg"))["ada"]
    assert store.faces == {"ada": ["1.jpg", "3.jpg"]}
    assert outcome.created
    assert [photo.name for photo in outcome.skipped] == ["2.jpg"]


def test_a_refusal_that_names_one_photo_only_leaves_that_out() -> None:
    store = Store()

    def handler(request: httpx.Request) -> httpx.Response:
        photos = photos_in(request)
        if "2.jpg" in photos:
            return problem(422, "TRUNCATED_IMAGE", f"image[{photos.index('2.jpg')}]")
        return store(request)

    outcome = enrol_person(client_of(handler), "vienna", person("ada", "1.jpg", "2.jpg", "3.jpg"), Options())
    assert store.faces == {"ada": ["1.jpg", "3.jpg"]}
    assert [photo.name for photo in outcome.skipped] == ["2.jpg"]


def test_poor_photos_are_counted_among_the_skipped() -> None:
    store = Store(refused={"2.jpg": "POOR_QUALITY", "3.jpg": "NO_FACE"})
    outcome = enrolled(store, person("ada", "1.jpg", "2.jpg", "3.jpg"))["ada"]
    assert (outcome.enrolled, len(outcome.skipped), outcome.poor) == (1, 2, 1)


def test_poor_photos_are_asked_to_be_accepted_only_where_that_is_wanted() -> None:
    assert "accept_poor" not in Options().form()
    assert Options(accept_poor=True).form()["accept_poor"] == "true"


def test_a_person_without_a_usable_photo_is_not_enrolled() -> None:
    store = Store(refused={"1.jpg": "NO_FACE"})
    outcome = enrolled(store, person("ada", "1.jpg"))["ada"]
    assert store.faces == {}
    assert (outcome.enrolled, outcome.created, len(outcome.skipped)) == (0, False, 1)


def test_running_it_again_leaves_those_alone_who_are_there() -> None:
    store = Store()
    enrolled(store, person("ada", "1.jpg"))
    outcomes = enrolled(store, person("ada", "1.jpg"), person("bob", "2.jpg"))
    assert store.faces == {"ada": ["1.jpg"], "bob": ["2.jpg"]}
    assert outcomes["ada"].present
    assert not outcomes["bob"].present


def test_again_adds_photos_to_those_who_are_there() -> None:
    store = Store()
    enrolled(store, person("ada", "1.jpg"))
    outcome = enrolled(store, person("ada", "2.jpg"), again=True)["ada"]
    assert store.faces == {"ada": ["1.jpg", "2.jpg"]}
    assert not outcome.created


def test_a_file_that_cannot_be_read_is_skipped_with_the_reason(tmp_path: Path) -> None:
    ada = Person("ada", (Photo("gone.jpg", tmp_path / "gone.jpg"), Photo("1.jpg", b"pixels")))
    outcome = enrolled(Store(), ada)["ada"]
    assert outcome.enrolled == 1
    assert [photo.reason for photo in outcome.skipped] == ["cannot be read: No such file or directory"]


def test_a_photo_that_kills_the_encoder_every_time_costs_only_itself() -> None:
    store = Store()

    def handler(request: httpx.Request) -> httpx.Response:
        deadly = b"poison" in request.content
        return problem(503, "ENCODER_WORKER_DIED", retry_after="1") if deadly else store(request)

    ada = Person("ada", (Photo("1.jpg", b"pixels"), Photo("2.jpg", b"poison")))
    outcome = enrol_person(client_of(handler), "vienna", ada, Options())
    assert store.faces == {"ada": ["1.jpg"]}
    assert [photo.name for photo in outcome.skipped] == ["2.jpg"]


@pytest.mark.parametrize("code", ["UNKNOWN_STORE", "UNAUTHORIZED"])
def test_trouble_that_is_not_about_a_photo_ends_the_run(code: str) -> None:
    client = client_of(lambda _: problem(404, code, "store"))
    with pytest.raises(Problem, match=code):
        enrol_person(client, "nowhere", person("ada", "1.jpg", "2.jpg"), Options())


def test_a_gateway_that_goes_away_ends_the_run_and_nothing_more_is_begun() -> None:
    begun: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={"faces": [], "cursor": None})
        begun.append(request.url.path)
        raise httpx.ReadError("gone", request=request)

    people = [person(f"p{n}", "1.jpg") for n in range(100)]
    with pytest.raises(GatewayAway):
        list(enrol_people(client_of(handler), "vienna", people, Options(workers=2)))
    assert len(begun) < 50
