"""The counts of `evaluate`, by hand."""

from __future__ import annotations

import httpx

from deploy.client.answers import SearchBody
from deploy.client.evaluation import Probe, Tally, probes_of, searched, split, tally
from deploy.client.photos import Person, Photo
from tests.deploy.client.faults import client_of, problem

ADA = ("s1", "ada")


def answer(verdict: str, *candidates: tuple[str, str], ms: float = 10.0) -> SearchBody:
    return {
        "store": "s1",
        "scope": "auto",
        "truth": "ok",
        "results": [
            {
                "box": None,
                "verdict": verdict,
                "reason": None,
                "candidates": [
                    {"store": s, "face_id": f, "score": 0.9, "distance": 0.1, "photos": 1, "threshold": 0.94}
                    for s, f in candidates
                ],
                "threshold": 0.94,
                "threshold_measured": True,
                "coverage": {
                    "stores": {"total": 1, "searched": 1, "missing": []},
                    "rows": 1,
                    "shards": {"total": 1, "ok": 1, "failed": []},
                },
                "route": {"mode": "home", "shard": "s1"},
            }
        ],
        "timing": {"encode_ms": ms - 3, "home_ms": 1.0, "fan_out_ms": 2.0, "total_ms": ms},
    }


def test_every_kind_of_answer_is_counted_once_and_where_it_belongs() -> None:
    counted = Tally()
    counted.add(ADA, answer("match", ADA))
    counted.add(ADA, answer("match", ("s2", "ada"), ms=30.0))
    counted.add(ADA, answer("no_match", ADA))
    counted.add(ADA, answer("no_match"))
    counted.add(ADA, answer("inconclusive", ADA, ms=20.0))
    counted.add(None, answer("match", ADA))
    counted.add(None, answer("no_match", ADA))
    counted.add(ADA, None)
    assert counted.figures() == {
        "probes": 7,
        "rank_1": 3,
        "true_matches": 1,
        "false_matches": 2,
        "missed": 2,
        "rejected": 1,
        "inconclusive": 1,
        "unusable": 1,
        "median_total_ms": 10.0,
        "median_search_ms": 3.0,
    }


def test_errors_are_false_matches_of_strangers_and_people_not_found() -> None:
    strangers, known = Tally(), Tally()
    for verdict in ("match", "no_match", "no_match", "inconclusive"):
        strangers.add(None, answer(verdict, ADA))
        known.add(ADA, answer(verdict, ADA))
    known.add(ADA, None)
    assert strangers.errors(of_strangers=True)["fpir"] == 0.25
    found = known.errors(of_strangers=False)
    assert found["fnir"] == 0.75
    assert (found["fnir_low"], found["fnir_high"]) == (0.300642, 0.954413)  # Wilson, 3 of 4


def test_nothing_counted_has_no_median_and_no_rate() -> None:
    assert Tally().figures()["median_total_ms"] is None
    assert Tally().errors(of_strangers=True) == {"fpir": None, "fpir_low": 0.0, "fpir_high": 1.0}


def test_a_person_is_at_one_store_only_and_probed_elsewhere_with_the_other_photos() -> None:
    people = [Person(f"p{n}", tuple(Photo(f"p{n}_{i}", b"") for i in range(3))) for n in range(4)]
    homes = split(people, ["a", "b", "c"])
    assert [home for home, _ in homes] == ["a", "b", "c", "a"]
    away, at_home = probes_of(homes, ["a", "b", "c"], away=1), probes_of(homes, ["a", "b", "c"], away=0)
    assert all(probe.who is not None and probe.store != probe.who[0] for probe in away)
    assert all(probe.who is not None and probe.store == probe.who[0] for probe in at_home)
    assert {probe.photo.name for probe in away} == {f"p{n}_{i}" for n in range(4) for i in (1, 2)}


def test_a_probe_of_several_photos_has_none_that_is_enrolled_or_left_over() -> None:
    person = Person("p", tuple(Photo(str(n), b"") for n in range(8)))
    probes = probes_of([("a", person)], ["a", "b"], away=1, enrolled=3, together=2)
    assert [[photo.name for photo in (probe.photo, *probe.more)] for probe in probes] == [["3", "4"], ["5", "6"]]
    assert probes_of([("a", person)], ["a", "b"], away=0, enrolled=7, together=2) == []


def test_the_photos_of_a_probe_are_searched_for_together() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        assert request.content.count(b'name="image"') == 2
        assert request.url.params["top_k"] == "5"
        return httpx.Response(200, json=answer("match", ADA))

    probe = Probe(Photo("1", b"one"), "s1", ADA, (Photo("2", b"two"),))
    assert tally(searched(client_of(handler), [probe], workers=1, top_k=5)).true_matches == 1


def test_a_refused_photo_is_counted_as_unusable_and_the_others_go_on() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        refused = b"blank" in request.content
        return problem(422, "NO_FACE", "image[0]") if refused else httpx.Response(200, json=answer("match", ADA))

    probes = [Probe(Photo("1", b"blank"), "s1", ADA), Probe(Photo("2", b"ada"), "s1", ADA)]
    counted = tally(searched(client_of(handler), probes, workers=2))
    assert (counted.probes, counted.true_matches, counted.unusable) == (1, 1, 1)
