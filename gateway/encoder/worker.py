"""One encoder process: `serve` is its whole life, `Worker` the gateway's end of the pipe.

A worker holds nothing worth saving, so it is always ended with SIGKILL and replaced by a new one; whatever was in it is
answered with a retryable error. It ends by itself when the gateway dies, however it dies: its pipe reports end of
file, and a thread that watches the parent ends it within a job too. Rejected: PR_SET_PDEATHSIG, which fires when the
*thread* that started the process ends; ProcessPoolExecutor, which gives no way to end one overdue job, and whose
idle workers survive a killed parent.

The pipe carries pickles, in both directions between processes of one program on one machine; it is no network socket.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Mapping
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from common.errors import DeadlineExceeded, EncoderWorkerDied, FacegridError
from common.settings import EncoderSettings
from common.types import Vectors
from gateway.encoder.decode import decode
from gateway.encoder.manifest import Models
from gateway.encoder.thumbnails import as_photo
from gateway.encoder.types import EncodedPhoto

if TYPE_CHECKING:
    from gateway.encoder.face_encoder import FaceEncoder
    from gateway.encoder.steps import Embedder

LOADED = "loaded"
log = logging.getLogger(__name__)


class PhotoJob(NamedTuple):
    """Every face of a photo."""

    photo: bytes
    space: str
    thumbnails: bool


class ThumbnailJob(NamedTuple):
    """The face of a kept thumbnail."""

    jpeg: bytes
    space: str


Job: TypeAlias = PhotoJob | ThumbnailJob
Answer: TypeAlias = EncodedPhoto | Vectors


def serve(connection: Connection, settings: EncoderSettings, models: Models) -> None:
    """Load the models, say LOADED (or send why they cannot be), then answer jobs until the gateway is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the gateway ends its workers itself
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from gateway.encoder.loading import load  # noqa: PLC0415  # onnxruntime is for this process alone

    try:
        steps = load(settings, models)
    except FacegridError as error:
        connection.send(error)
        return
    encoder = steps.encoder()
    connection.send(LOADED)
    while True:
        try:
            job = connection.recv()
        except EOFError:
            return
        connection.send(_answer(encoder, steps.embedders, settings, job))


def _answer(
    encoder: FaceEncoder, embedders: Mapping[str, Embedder], settings: EncoderSettings, job: Job
) -> Answer | FacegridError:
    try:
        match job:
            case PhotoJob(photo, space, thumbnails):
                pixels = decode(photo, settings)
                faces = encoder.encode(pixels, space, max_faces=settings.photo_faces, thumbnails=thumbnails)
                return EncodedPhoto(width=pixels.shape[1], height=pixels.shape[0], faces=faces)
            case ThumbnailJob(jpeg, space):
                pixels, face = as_photo(decode(jpeg, settings))
                row: Vectors = embedders[space].embed(pixels, [face])[0]
                return row
    except FacegridError as error:
        return error
    except (RuntimeError, ValueError, MemoryError) as error:  # what dlib and numpy raise; others end the process
        log.exception("the encoder failed on a photo of %d bytes", len(job[0]))
        return FacegridError(f"The encoder failed on this photo ({type(error).__name__}).", field="image")


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


class Worker:
    """The gateway's handle on one encoder process, which it replaces when that has died.

    `start` and `encode` block and belong to one thread at a time; `kill`, `expire` and `loaded` may be used from any.
    """

    def __init__(self, settings: EncoderSettings, models: Models) -> None:
        self._settings = settings
        self._models = models
        self._context = multiprocessing.get_context("spawn")  # fork would copy the gateway's threads' locks
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None
        self._loaded = False
        self._expired = False

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def loaded(self) -> bool:
        """The process lives and its models are loaded."""
        process = self._process
        return self._loaded and process is not None and not wait([process.sentinel], timeout=0)

    def start(self) -> None:
        """Start a process and wait until its models are loaded; raises what `load` raises, or EncoderWorkerDied."""
        self._connect()

    def encode(self, job: Job) -> Answer:
        """Do the job, in a new process if the last one died while it was idle.

        Raises what `decode` and the space's embedder raise, EncoderWorkerDied if the process died meanwhile, and
        DeadlineExceeded if it did because of `expire`.
        """
        connection = self._connection if self.loaded else None
        if connection is None:
            connection = self._connect()
        try:
            connection.send(job)
        except OSError:
            raise self._death() from None
        answer: Answer = self._receive(connection)
        return answer

    def _connect(self) -> Connection:
        self.stop()
        self._expired = False
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=serve, args=(theirs, self._settings, self._models), name="facegrid-encoder", daemon=True
        )
        try:
            process.start()
        except OSError as error:  # no memory, or too many processes or files
            ours.close()
            raise EncoderWorkerDied(f"No encoder process could be started ({error.strerror}).") from None
        finally:
            theirs.close()  # so that our end sees end of file when the worker dies
        self._process, self._connection = process, ours
        self._receive(ours)
        self._loaded = True
        return ours

    def _receive(self, connection: Connection) -> Any:
        try:
            answer = connection.recv()
        except (EOFError, OSError):
            raise self._death() from None
        if isinstance(answer, FacegridError):
            raise answer
        return answer

    def _death(self) -> FacegridError:
        if not self._loaded:
            why = "took too long and was ended" if self._expired else "died"
            return EncoderWorkerDied(f"The encoder process {why} while it loaded its models.")
        if not self._expired:
            return EncoderWorkerDied("The encoder process died while it worked on the photo; please try again.")
        limit = self._settings.encoder_timeout_s
        return DeadlineExceeded(f"Encoding the photo took longer than {limit:g} s.", field="image", limit=limit)

    def expire(self) -> None:
        """End a process that is overdue."""
        self._expired = True
        self.kill()

    def kill(self) -> None:
        """End the process at once; a call of `encode` or `start` that waits for it raises."""
        if self._process is not None:
            self._process.kill()

    def stop(self) -> None:
        """End the process, wait until it has ended, and close the pipe."""
        self._loaded = False
        if self._process is not None:
            self._process.kill()
            self._process.join()
        if self._connection is not None:
            self._connection.close()
