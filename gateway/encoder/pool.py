"""The gateway's encoder: a bounded queue in front of a few worker processes.

    encode ──► waiting (at most `encoder_queue`, first come first served) ──► one thread, one worker ──► EncodedPhoto

Whoever calls `encode` holds its own place in the queue: a caller whose deadline passes simply leaves, and no worker
ever sees its photo. A photo that is being encoded is finished even if its caller has left, because dlib cannot be
interrupted; only one that takes longer than `encoder_timeout_s` ends, with its process. A dead worker costs the one
photo that was in it. The event loop never touches pixels: it passes bytes to a thread, which passes them to a process.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeVar

from common.errors import DeadlineExceeded, EncoderBusy, EncoderWorkerDied, Unavailable
from common.settings import EncoderSettings
from gateway.encoder.decode import check_bytes
from gateway.encoder.types import EncodedPhoto
from gateway.encoder.worker import Worker

log = logging.getLogger(__name__)
T = TypeVar("T")


class EncoderPool:
    """`async with EncoderPool(settings) as pool:` or `start` and `close`; belongs to one event loop."""

    def __init__(self, settings: EncoderSettings) -> None:
        self._settings = settings
        self._workers = [Worker(settings) for _ in range(settings.encoder_workers)]
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
        """Start every worker; returns at once, photos wait until the first worker has loaded its models."""
        for worker in self._workers:
            self._in_background(self._load(worker))

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

    async def encode(self, photo: bytes, *, thumbnails: bool = False) -> EncodedPhoto:
        """Find and encode the faces of one photo (JPEG, PNG, BMP, WebP); `thumbnails` adds a JPEG of each face.

        A photo without a face is no error here. Raises NotAnImage, TruncatedImage, ImageTooLarge or InvalidImage for a
        bad photo; EncoderBusy, EncoderWorkerDied, EncoderMissing or DeadlineExceeded, which may be retried.
        """
        check_bytes(photo, self._settings)
        worker = await self._idle_worker()
        return await asyncio.shield(self._in_background(self._run(worker, photo, thumbnails)))

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

    async def _run(self, worker: Worker, photo: bytes, thumbnails: bool) -> EncodedPhoto:
        loop = asyncio.get_running_loop()
        overdue = loop.call_later(self._settings.encoder_timeout_s, worker.expire)
        died = False
        try:
            if self._closed:
                raise Unavailable("The gateway is shutting down.")
            return await loop.run_in_executor(self._threads, worker.encode, photo, thumbnails)
        except (EncoderWorkerDied, DeadlineExceeded) as error:
            log.warning("encoder process %s: %s", worker.pid, error.detail)
            died = True
            raise
        finally:
            overdue.cancel()
            if died:
                self._in_background(self._load(worker))
            else:
                self._give_back(worker)

    async def _load(self, worker: Worker) -> None:
        """Start a process for `worker`. If that fails, the next photo tries again, and its caller is told why."""
        try:
            if not self._closed:
                await asyncio.get_running_loop().run_in_executor(self._threads, worker.start)
        except Unavailable as error:
            log.error("no encoder process: %s", error.detail)
        finally:
            self._give_back(worker)

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
