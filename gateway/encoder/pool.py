"""The gateway's encoder: a bounded queue in front of a few worker processes.

    encode ──► waiting (at most `encoder_queue`, first come first served) ──► one thread, one worker ──► EncodedPhoto

Whoever calls `encode` holds its own place in the queue: a caller whose deadline passes simply leaves, and no worker
ever sees its photo. A photo that is being encoded is finished even if its caller has left, because dlib cannot be
interrupted; only one that takes longer than `encoder_timeout_s` ends, with its process. A dead worker costs the one
photo that was in it. The event loop never touches pixels: it passes bytes to a thread, which passes them to a process.

Every worker has every model. With models of one's own the first worker is waited for: a gateway with a manifest whose
model cannot be loaded does not start.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeVar

from common.errors import (
    BrokenModel,
    DeadlineExceeded,
    EncoderBusy,
    EncoderWorkerDied,
    FacegridError,
    InvalidManifest,
    Unavailable,
    UnknownSpace,
)
from common.settings import EncoderSettings
from common.types import DLIB_SPACE, Vectors
from gateway.encoder.decode import check_bytes
from gateway.encoder.manifest import read_models
from gateway.encoder.types import EncodedPhoto
from gateway.encoder.worker import Answer, Job, PhotoJob, ThumbnailJob, Worker

LOADING_S = 120.0
"""longest time for a process to load its models; one may also run for ever"""
log = logging.getLogger(__name__)
T = TypeVar("T")


class EncoderPool:
    """`async with EncoderPool(settings) as pool:` or `start` and `close`; belongs to one event loop."""

    def __init__(self, settings: EncoderSettings) -> None:
        """Raises InvalidManifest."""
        self._settings = settings
        models = read_models(settings.models)
        detector = models.detector(settings.detector)
        self.spaces = frozenset({DLIB_SPACE, *models.encoders})
        """what photos can be encoded into"""
        self._own = [*models.encoders.values(), *([] if detector is None else [detector])]
        """models that have to be tried before photos are taken; dlib's need not be"""
        self._workers = [Worker(settings, models) for _ in range(settings.encoder_workers)]
        self._idle: list[Worker] = []
        self._free = asyncio.Semaphore(0)  # as many as `_idle` holds; fair, and safe to be cancelled in
        self._waiting = 0
        self._threads = ThreadPoolExecutor(settings.encoder_workers, thread_name_prefix="encoder")
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Start every worker; photos wait until the first one has loaded its models.

        Returns at once if they are dlib's. Raises InvalidManifest, WrongHash or BrokenModel, with all workers ended, if
        one of a manifest cannot be used.
        """
        for manifest in self._own:
            await asyncio.to_thread(manifest.read_model)
        loads = [self._in_background(self._load(worker)) for worker in self._workers]
        refused = await loads[0] if self._own else None
        if isinstance(refused, InvalidManifest | EncoderWorkerDied):
            await self.close()
            raise refused if isinstance(refused, InvalidManifest) else self._unloadable(refused)

    def _unloadable(self, death: EncoderWorkerDied) -> BrokenModel:
        """A model that ends the process that loads it, or needs more memory or time than there is."""
        files = ", ".join(sorted(manifest.file for manifest in self._own))
        return BrokenModel(f"{death.detail} They are dlib's and {files}.", field="models")

    async def close(self) -> None:
        """End every worker; photos that are waiting or being encoded get a retryable error."""
        self._closed = True
        for worker in self._workers:
            worker.kill()
        while self._tasks:
            await asyncio.wait(self._tasks)
        for worker in self._workers:  # once more: one may have been starting
            await asyncio.to_thread(worker.stop)
        self._threads.shutdown()

    @property
    def ready(self) -> bool:
        """At least one worker has loaded its models."""
        return any(worker.loaded for worker in self._workers)

    @property
    def waiting(self) -> int:
        """Photos in the queue, those being encoded not counted."""
        return self._waiting

    @property
    def worker_pids(self) -> list[int]:
        return [worker.pid for worker in self._workers if worker.pid is not None and worker.loaded]

    async def encode(self, photo: bytes, space: str = DLIB_SPACE, *, thumbnails: bool = False) -> EncodedPhoto:
        """Find the faces of one photo (JPEG, PNG, BMP, WebP) and encode them in `space`; `thumbnails` adds a JPEG of
        each face.

        A photo without a face is no error here. Raises UnknownSpace; NotAnImage, TruncatedImage, ImageTooLarge or
        InvalidImage for a bad photo; NotFinite or ZeroVector if the space's model has no answer for a face;
        EncoderBusy, EncoderWorkerDied, EncoderMissing or DeadlineExceeded, which may be retried.
        """
        answer = await self._do(PhotoJob(photo, space, thumbnails))
        assert isinstance(answer, EncodedPhoto)  # noqa: S101  # what such a job is answered with
        return answer

    async def encode_thumbnail(self, jpeg: bytes, space: str) -> Vectors:
        """The (d,) unit embedding in `space` of a thumbnail that `encode` made; nothing is looked for. Raises
        likewise."""
        answer = await self._do(ThumbnailJob(jpeg, space))
        assert not isinstance(answer, EncodedPhoto)  # noqa: S101  # likewise
        return answer

    async def _do(self, job: Job) -> Answer:
        if job.space not in self.spaces:
            known = sorted(self.spaces)
            raise UnknownSpace(
                f"This gateway has no model of {job.space[:64]}; it has {', '.join(known)}.", field="space", limit=known
            )
        check_bytes(job[0], self._settings)
        worker = await self._idle_worker()
        return await asyncio.shield(self._in_background(self._run(worker, job)))

    async def _idle_worker(self) -> Worker:
        limit = self._settings.encoder_queue
        if self._free.locked() and self._waiting >= limit:
            raise EncoderBusy(f"{limit} photos are waiting already; please try again.", limit=limit)
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        return self._idle.pop()

    async def _run(self, worker: Worker, job: Job) -> Answer:
        loop = asyncio.get_running_loop()
        overdue = loop.call_later(self._settings.encoder_timeout_s, worker.expire)
        died = False
        try:
            if self._closed:
                raise Unavailable("The gateway is shutting down.")
            return await loop.run_in_executor(self._threads, worker.encode, job)
        except (EncoderWorkerDied, DeadlineExceeded) as error:
            if not self._closed:  # whoever closes the pool kills its processes
                log.warning("encoder process %s: %s", worker.pid, error.detail)
            died = True
            raise
        finally:
            overdue.cancel()
            if died:
                self._in_background(self._load(worker))
            else:
                self._give_back(worker)

    async def _load(self, worker: Worker) -> FacegridError | None:
        """Start a process for `worker`. If that fails, the next photo tries again, and its caller is told why, too."""
        loop = asyncio.get_running_loop()
        overdue = loop.call_later(LOADING_S, worker.expire)
        try:
            if not self._closed:
                await loop.run_in_executor(self._threads, worker.start)
        except FacegridError as error:
            if not self._closed:
                log.error("no encoder process: %s", error.detail)
            return error
        finally:
            overdue.cancel()
            self._give_back(worker)
        return None

    def _give_back(self, worker: Worker) -> None:
        self._idle.append(worker)
        self._free.release()

    def _in_background(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # seen: if its caller has left, asyncio would log it as nobody's
