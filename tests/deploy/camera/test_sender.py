"""What the sender makes of the gateway's answers, over a real socket."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from deploy.camera import sender as module
from deploy.camera.sender import LONGEST_ASKED_S, LONGEST_PAUSE_S, POISONOUS, Sender, pause_s
from deploy.camera.spool import Spool
from deploy.client.http import ClientError
from deploy.client.sightings import Barred, Later, Refused, Sent, Sighting, SightingClient, outcome
from deploy.local.embedded_redis import free_port
from tests.deploy.camera.made import sighting
from tests.deploy.camera.receiver import Answer, Received, Receiver, counted, digest, problem
from tests.deploy.local.test_supervisor import until

Quick = Callable[[], None]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses as in the field, a hundred times shorter."""
    real = module.pause_s
    monkeypatch.setattr(module, "pause_s", lambda *asked: real(*asked) / 100)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    made = Spool(tmp_path / "spool")
    made.open()
    yield made
    made.close()


@contextmanager
def sending(spool: Spool, url: str, report: Callable[[str], None] = lambda _: None) -> Iterator[Sender]:
    with SightingClient(url) as client:
        sender = Sender(spool, client.post, report)
        sender.start()
        try:
            yield sender
        finally:
            sender.stop()
            assert sender.join(20)


def sent_all(sender: Sender) -> None:
    sender.finish()
    assert sender.join(20)
    sender.check()


def tracks(received: list[Received]) -> list[str]:
    return [one.track for one in received]


def told(spool: Spool) -> list[dict[str, object]]:
    return [json.loads(path.read_text()) for path in sorted(spool.root.glob("rejected/*.json"))]


def test_sightings_arrive_in_order_with_their_times_and_photos(spool: Spool) -> None:
    for nth in (2, 1, 3):
        spool.put(sighting(nth))
    with Receiver() as receiver, sending(spool, receiver.url) as sender:
        sent_all(sender)
        photos = tuple(digest(shot.jpeg) for shot in sighting(1).shots)
        assert receiver.taken[0] == Received("vienna", "2026-11-20T08:01:00.000+00:00", "door", "track1", photos)
        assert tracks(receiver.taken) == ["track1", "track2", "track3"]
    assert len(spool) == 0
    assert list(spool.root.glob("waiting/*")) == []
    assert (sender.tally.sent, sender.tally.faces) == (3, {"counted": 3})


def test_what_is_put_while_it_runs_is_sent_too(spool: Spool) -> None:
    with Receiver() as receiver, sending(spool, receiver.url) as sender:
        spool.put(sighting(1))
        receiver.wait_for(lambda: len(receiver.taken) == 1)
        spool.put(sighting(2))
        sent_all(sender)
        assert tracks(receiver.taken) == ["track1", "track2"]


@pytest.mark.parametrize(
    "trouble",
    [
        problem(503, "PENDING_FULL", retry_after="1"),
        problem(503, "TRUTH_UNAVAILABLE", outcome="unknown"),
        problem(429, "TOO_MANY"),
        problem(504, "DEADLINE_EXCEEDED"),
        problem(409, "FACE_CHANGED"),
        Answer(502, b"<html>"),
        problem(401, "UNAUTHORIZED"),
        problem(404, "UNKNOWN_STORE"),
        Answer(200, b"<html>a hotel's welcome page"),
        Answer(302, b""),
        Answer(400, b"not a gateway's words"),
    ],
)
def test_what_is_not_taken_is_kept_and_sent_again_with_its_original_time(spool: Spool, trouble: Answer) -> None:
    left = [trouble] * 3
    spool.put(sighting(1))
    with (
        Receiver(lambda _: left.pop() if left else None) as receiver,
        sending(spool, receiver.url) as sender,
    ):
        sent_all(sender)
        assert len(receiver.asked) == 4
        assert set(receiver.asked) == {receiver.taken[-1]}
    assert sender.tally.sent == 1
    assert told(spool) == []


def test_a_gateway_that_is_away_is_said_once_and_so_is_its_return(spool: Spool) -> None:
    heard: list[str] = []
    for nth in (1, 2):
        spool.put(sighting(nth))
    with Receiver() as receiver:
        away = [True]

        def post(one: Sighting) -> Sent | Later | Barred | Refused:
            with SightingClient(f"http://127.0.0.1:{free_port()}" if away[0] else receiver.url) as client:
                return client.post(one)

        def report(line: str) -> None:
            heard.append(line)
            away[0] = False

        sender = Sender(spool, post, report)
        sender.start()
        sent_all(sender)
        assert tracks(receiver.taken) == ["track1", "track2"]
    assert [line.split(" at ")[0] for line in heard] == ["No gateway answers", "The gateway answers again."]


def test_a_refused_sighting_is_set_aside_without_photos_and_the_others_go_on(spool: Spool) -> None:
    for nth in (1, 2):
        spool.put(sighting(nth))

    def answer(received: Received) -> Answer | None:
        return problem(422, "INVALID_REQUEST", "at", limit=35) if received.track == "track1" else None

    with Receiver(answer) as receiver, sending(spool, receiver.url) as sender:
        sent_all(sender)
        assert tracks(receiver.taken) == ["track2"]
    assert (sender.tally.rejected, sender.tally.problems) == (1, {"INVALID_REQUEST": 1})
    (about,) = told(spool)
    assert about["track"] == "track1"
    assert about["photos"] == 2
    assert "INVALID_REQUEST" in str(about["problem"])


def test_a_photo_that_is_refused_is_left_out_and_the_rest_is_sent(spool: Spool) -> None:
    one = sighting(1, shots=3)
    bad = digest(one.shots[1].jpeg)

    def answer(received: Received) -> Answer | None:
        return problem(422, "NO_FACE", f"image[{received.photos.index(bad)}]") if bad in received.photos else None

    spool.put(one)
    with Receiver(answer) as receiver, sending(spool, receiver.url) as sender:
        sent_all(sender)
        (taken,) = receiver.taken
    assert taken.photos == tuple(digest(one.shots[nth].jpeg) for nth in (0, 2))
    assert told(spool) == []


def test_a_track_of_two_people_is_sent_photo_by_photo_each_at_its_own_time(spool: Spool) -> None:
    def answer(received: Received) -> Answer | None:
        return problem(422, "MIXED_TRACK", "image", scores=[0.7, 0.7]) if len(received.photos) > 1 else None

    spool.put(sighting(1, shots=3))
    with Receiver(answer) as receiver, sending(spool, receiver.url) as sender:
        sent_all(sender)
        assert [one.at[14:23] for one in receiver.taken] == ["01:00.000", "01:00.200", "01:00.400"]
        assert [one.photos for one in receiver.taken] == [(digest(s.jpeg),) for s in sighting(1, shots=3).shots]
    assert told(spool) == []


def test_one_poisonous_sighting_lets_the_others_go_first_and_is_given_up_in_the_end(spool: Spool) -> None:
    """Others keep coming, and are taken."""
    for nth in (1, 2, 3):
        spool.put(sighting(nth))
    coming = iter(range(4, 100))

    def answer(received: Received) -> Answer | None:
        if received.track != "track1":
            return None
        spool.put(sighting(next(coming)))
        return problem(503, "ENCODER_WORKER_DIED", retry_after="1")

    with Receiver(answer) as receiver, sending(spool, receiver.url) as sender:
        sent_all(sender)
        assert tracks(receiver.asked)[:3] == ["track1", "track2", "track3"]
        assert tracks(receiver.asked).count("track1") == POISONOUS
    assert sender.tally.problems == {"POISONOUS": 1}
    assert sender.tally.sent == 2 + POISONOUS


def test_a_gateway_that_fails_at_everything_for_long_costs_no_sighting(spool: Spool) -> None:
    left = [problem(504, "DEADLINE_EXCEEDED")] * (3 * POISONOUS)
    for nth in (1, 2):
        spool.put(sighting(nth))
    with Receiver(lambda _: left.pop() if left else None) as receiver, sending(spool, receiver.url) as sender:
        until(lambda: sender.stuck or not left)
        assert sender.stuck, "a folder's run ends here, and keeps them"
        sent_all(sender)
        assert sorted(tracks(receiver.taken)) == ["track1", "track2"]
    assert told(spool) == []


def test_stop_finishes_what_is_being_sent_and_leaves_the_rest(spool: Spool) -> None:
    stop: list[Callable[[], None]] = []

    def answer(_: Received) -> Answer:
        stop[0]()
        return counted()

    for nth in (1, 2):
        spool.put(sighting(nth))
    with Receiver(answer) as receiver, SightingClient(receiver.url) as client:
        sender = Sender(spool, client.post)
        stop.append(sender.stop)
        sender.start()
        assert sender.join(20)
        assert tracks(receiver.taken) == ["track1"]
    assert [path.name.split("-")[1] for path in spool.root.glob("waiting/*")] == ["track2.0.msgpack"]


def test_a_spool_that_fails_ends_the_sender_loudly(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: str) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(spool, "done", broken)
    spool.put(sighting(1))
    with Receiver() as receiver, SightingClient(receiver.url) as client:
        sender = Sender(spool, client.post)
        sender.start()
        assert sender.join(20)
        with pytest.raises(ClientError, match="Input/output error"):
            sender.check()


def test_pauses_grow_are_bounded_and_obey_the_gateway() -> None:
    away = Later("away", None)
    assert [pause_s(away, n, 0.0) for n in (1, 2, 3)] == [0.5, 1.0, 2.0]
    assert pause_s(away, 1000, 0.0) == LONGEST_PAUSE_S
    assert pause_s(away, 1, 1.0) == 0.25
    assert pause_s(Later("busy", 7.0), 1, 1.0) == 7.0
    assert pause_s(Later("busy", 1e9), 1, 0.0) == LONGEST_ASKED_S
    assert pause_s(Barred("key", "UNAUTHORIZED"), 1, 0.0) == LONGEST_PAUSE_S


def test_a_retry_after_that_is_no_number_is_no_wish() -> None:
    for text, wish in (("12", 12.0), ("", None), ("Fri, 20 Nov 2026 08:00:00 GMT", None), ("²", None)):
        answer = httpx.Response(503, headers={b"Retry-After": text.encode()})
        assert outcome(answer) == Later("no reason given [HTTP_503]", wish)


def test_a_connection_that_breaks_off_and_a_silent_gateway_are_for_later() -> None:
    def answer(_: Received) -> Answer:
        raise ConnectionError("cut")

    with Receiver(answer) as receiver, SightingClient(receiver.url) as client:
        result = client.post(sighting(1))
    assert isinstance(result, Later)
    assert "broke off" in result.why
