"""What crosses the boundary between the gateway and its encoder processes."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest

from common.errors import EncoderWorkerDied, FacegridError
from common.settings import EncoderSettings
from common.types import DLIB_SPACE
from gateway.encoder import EncodedFace
from gateway.encoder.dlib_encoder import DlibEncoder
from gateway.encoder.manifest import Models
from gateway.encoder.worker import PhotoJob, Worker, _answer
from tests.gateway.encoder_photos import portrait, saved


def subclasses(kind: type[FacegridError]) -> Iterator[type[FacegridError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from subclasses(child)


def test_an_unexpected_fault_of_dlib_is_an_internal_error_without_its_words() -> None:
    class Faulty(DlibEncoder):
        def __init__(self) -> None:
            pass

        def encode(self, *_: object, **__: object) -> tuple[EncodedFace, ...]:
            raise RuntimeError("/usr/secret/path")

    answer = _answer(Faulty(), {}, EncoderSettings(), PhotoJob(saved(portrait(), "JPEG"), DLIB_SPACE, False))
    assert isinstance(answer, FacegridError)
    assert answer.code == "INTERNAL"
    assert "secret" not in answer.detail


@pytest.mark.parametrize("kind", list(subclasses(FacegridError)), ids=lambda kind: kind.code)
def test_every_error_crosses_the_process_boundary_whole(kind: type[FacegridError]) -> None:
    error = pickle.loads(pickle.dumps(kind("What happened.", field="image", limit=[1, 2], photo=3)))  # noqa: S301
    assert type(error) is kind
    assert error.problem() == kind("What happened.", field="image", limit=[1, 2], photo=3).problem()
    assert str(error) == "What happened."


def test_a_machine_without_room_for_a_process_is_a_retryable_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("multiprocessing.context.SpawnProcess._Popen", full)
    worker = Worker(EncoderSettings(), Models())
    with pytest.raises(EncoderWorkerDied, match="could be started"):
        worker.encode(PhotoJob(saved(portrait(), "JPEG"), DLIB_SPACE, thumbnails=False))
    assert not worker.loaded
