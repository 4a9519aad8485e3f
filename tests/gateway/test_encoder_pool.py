"""The pool with its real processes: every upload answered, dead workers replaced, nothing left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from PIL import Image

from common.errors import (
    DeadlineExceeded,
    EncoderBusy,
    EncoderMissing,
    EncoderWorkerDied,
    FacegridError,
    ImageTooLarge,
    NotAnImage,
    TruncatedImage,
    Unavailable,
)
from common.settings import EncoderSettings
from gateway.encoder import EncodedFace, EncodedPhoto, EncoderPool
from gateway.encoder.worker import Answer, Job, Worker
from tests.gateway.encoder_photos import ORIENTATIONS, overlap, portrait, saved, turned

pytestmark = pytest.mark.asyncio(loop_scope="module")
PATIENCE_S = 30.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[EncoderPool]:
    async with EncoderPool(EncoderSettings(encoder_workers=2)) as pool:
        await until(lambda: len(pool.worker_pids) == 2)
        yield pool


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lone() -> AsyncIterator[EncoderPool]:
    """One worker, one place in the queue. Each test leaves it as it was, perhaps with another process."""
    async with EncoderPool(EncoderSettings(encoder_workers=1, encoder_queue=1)) as pool:
        await until(lambda: pool.ready)
        yield pool


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.01)


def gone(pid: int) -> bool:
    """The process has ended; one that only waits to be reaped by a foreign parent counts."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def only_face(photo: EncodedPhoto) -> EncodedFace:
    assert len(photo.faces) == 1
    return photo.faces[0]


async def test_the_face_is_the_same_in_every_format(pool: EncoderPool) -> None:
    photos = [saved(portrait(), kind) for kind in ("PNG", "BMP", "JPEG", "WEBP")]
    answers = await asyncio.gather(*map(pool.encode, photos))
    first = only_face(answers[0])
    for answer in answers:
        face = only_face(answer)
        assert (answer.width, answer.height) == (300, 300)
        assert overlap(face.box, first.box) > 0.8
        assert float(face.embedding @ first.embedding) > 0.98
        assert face.embedding.dtype == np.float32
        assert np.linalg.norm(face.embedding) == pytest.approx(1.0, abs=1e-6)


async def test_the_face_is_the_same_however_the_camera_was_held(pool: EncoderPool) -> None:
    upright = portrait().crop((0, 0, 280, 300))
    photos = [turned(upright, orientation, "JPEG", quality=97) for orientation in ORIENTATIONS]
    answers = await asyncio.gather(*map(pool.encode, photos))
    first = only_face(answers[0])
    for answer in answers:
        assert (answer.width, answer.height) == (280, 300)
        assert overlap(only_face(answer).box, first.box) > 0.9
        assert float(only_face(answer).embedding @ first.embedding) > 0.99


async def test_thumbnails_are_made_only_when_asked_for(pool: EncoderPool) -> None:
    photo = saved(portrait(), "JPEG")
    assert only_face(await pool.encode(photo)).thumbnail is None
    thumbnail = only_face(await pool.encode(photo, thumbnails=True)).thumbnail
    assert thumbnail is not None
    assert thumbnail.startswith(b"\xff\xd8\xff")


async def test_bad_uploads_get_their_error_and_harm_no_worker(pool: EncoderPool) -> None:
    before = pool.worker_pids
    good = saved(portrait(), "JPEG")
    bad: list[tuple[bytes, type[FacegridError]]] = [
        (b"", NotAnImage),
        (b"not an image at all", NotAnImage),
        (good[:-5000], TruncatedImage),
        (saved(Image.new("1", (10_000, 10_000)), "PNG"), ImageTooLarge),
        (saved(Image.new("1", (20_000, 20_000)), "PNG"), ImageTooLarge),
        (bytes(10_000_001), ImageTooLarge),
    ]
    answers = await asyncio.gather(*(pool.encode(photo) for photo, _ in bad), return_exceptions=True)
    for answer, (_, expected) in zip(answers, bad, strict=True):
        assert type(answer) is expected
        assert answer.field == "image"
        assert answer.detail.endswith(".")
    assert len((await pool.encode(good)).faces) == 1
    assert pool.worker_pids == before


async def test_a_long_strip_does_not_corrupt_its_worker(lone: EncoderPool) -> None:
    """At that length dlib writes beyond its memory; sooner or later the process dies of it."""
    before = lone.worker_pids
    for width, height in ((250_000, 199), (50_000_000, 1)):
        strip = saved(Image.new("1", (width, height)), "PNG")
        assert await lone.encode(strip) == EncodedPhoto(width=width, height=height, faces=())
    assert len((await lone.encode(saved(portrait(), "JPEG"))).faces) == 1
    assert lone.worker_pids == before


async def test_a_photo_without_a_face_is_an_answer(pool: EncoderPool) -> None:
    answer = await pool.encode(saved(Image.linear_gradient("L"), "PNG"))
    assert answer == EncodedPhoto(width=256, height=256, faces=())


async def test_a_killed_worker_costs_its_own_photo_only_and_is_replaced(pool: EncoderPool) -> None:
    """A stopped process holds its photo for as long as we like; then it is killed."""
    photo = saved(portrait(), "JPEG")
    before = pool.worker_pids
    for pid in before:
        os.kill(pid, signal.SIGSTOP)
    jobs = [asyncio.create_task(pool.encode(photo)) for _ in range(6)]
    await until(lambda: pool.waiting == 4)
    os.kill(before[0], signal.SIGKILL)
    os.kill(before[1], signal.SIGCONT)
    answers = await asyncio.gather(*jobs, return_exceptions=True)
    died = [answer for answer in answers if isinstance(answer, EncoderWorkerDied)]
    assert len(died) == 1
    assert died[0].status == 503
    assert died[0].retry_after_s
    assert sum(isinstance(answer, EncodedPhoto) and len(answer.faces) == 1 for answer in answers) == 5
    await until(lambda: len(pool.worker_pids) == 2)
    assert before[1] in pool.worker_pids
    assert before[0] not in pool.worker_pids


async def test_a_worker_that_died_while_idle_costs_no_photo_at_all(lone: EncoderPool) -> None:
    [pid] = lone.worker_pids
    os.kill(pid, signal.SIGKILL)
    await until(lambda: not lone.ready)
    assert len((await lone.encode(saved(portrait(), "JPEG"))).faces) == 1
    assert lone.worker_pids != [pid]


async def test_an_overdue_photo_ends_with_its_worker_and_the_next_one_is_served() -> None:
    async with EncoderPool(EncoderSettings(encoder_workers=1, encoder_timeout_s=1)) as pool:
        await until(lambda: pool.ready)
        [pid] = pool.worker_pids
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(DeadlineExceeded) as caught:
            await pool.encode(saved(portrait(), "BMP"))
        assert caught.value.limit == 1
        await until(lambda: gone(pid) and pool.ready)
        assert len((await pool.encode(saved(portrait(), "JPEG"))).faces) == 1


async def test_a_full_queue_is_refused_and_a_cancelled_place_in_it_is_free_again(
    lone: EncoderPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[bytes] = []
    encode = Worker.encode

    def recorded(self: Worker, job: Job) -> Answer:
        encoded.append(job[0])
        return encode(self, job)

    monkeypatch.setattr(Worker, "encode", recorded)
    first, second, third = (saved(portrait(), "JPEG", quality=quality) for quality in (80, 85, 90))
    [pid] = lone.worker_pids
    os.kill(pid, signal.SIGSTOP)
    running = asyncio.create_task(lone.encode(first))
    await until(lambda: encoded == [first])
    queued = asyncio.create_task(lone.encode(second))
    await until(lambda: lone.waiting == 1)
    with pytest.raises(EncoderBusy) as caught:
        await lone.encode(third)
    assert (caught.value.status, caught.value.limit) == (503, 1)
    queued.cancel()
    await asyncio.wait([queued])
    assert lone.waiting == 0
    last = asyncio.create_task(lone.encode(third))
    await until(lambda: lone.waiting == 1)
    os.kill(pid, signal.SIGCONT)
    assert len((await running).faces) == len((await last).faces) == 1
    assert encoded == [first, third]


async def test_a_caller_that_leaves_while_its_photo_is_encoded_does_not_take_the_worker_along(
    lone: EncoderPool, caplog: pytest.LogCaptureFixture
) -> None:
    photo = saved(portrait(), "JPEG")
    [pid] = lone.worker_pids
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await lone.encode(photo[:-5000])
    second = asyncio.create_task(lone.encode(photo))
    await until(lambda: lone.waiting == 1)  # the worker is still busy, and is not handed out twice
    os.kill(pid, signal.SIGCONT)
    assert len((await second).faces) == 1
    assert lone.worker_pids == [pid]
    assert caplog.text == ""  # the error that nobody waits for any more


async def test_the_event_loop_goes_on_while_photos_are_encoded(
    pool: EncoderPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pixels are unpacked in the workers alone, and the loop turns meanwhile."""
    photo = saved(portrait().resize((2500, 2500)), "JPEG")

    def not_here(*_: object, **__: object) -> None:
        raise AssertionError("a photo was opened in the gateway's own process")

    monkeypatch.setattr(Image, "open", not_here)
    jobs = asyncio.gather(pool.encode(photo), pool.encode(photo))
    turns = 0
    while not jobs.done():
        await asyncio.sleep(0)
        turns += 1
    assert all(len(answer.faces) == 1 for answer in await jobs)
    assert turns > 100  # two, if an encoding held up the loop


async def test_closing_ends_the_workers_and_answers_whoever_waits() -> None:
    pool = EncoderPool(EncoderSettings(encoder_workers=1))
    await pool.start()
    await until(lambda: pool.ready)
    [pid] = pool.worker_pids
    os.kill(pid, signal.SIGSTOP)
    jobs = [asyncio.create_task(pool.encode(saved(portrait(), "JPEG"))) for _ in range(3)]
    await until(lambda: pool.waiting == 2)
    await pool.close()
    answers = await asyncio.gather(*jobs, return_exceptions=True)
    assert all(isinstance(answer, Unavailable) for answer in answers)
    assert gone(pid)
    assert not pool.ready


async def test_closing_while_a_worker_is_still_loading_leaves_nothing_running() -> None:
    pool = EncoderPool(EncoderSettings(encoder_workers=1))
    await pool.start()
    await pool.close()
    assert not pool.ready
    with pytest.raises(Unavailable, match="shutting down"):
        await pool.encode(saved(portrait(), "JPEG"))


async def test_without_dlib_every_photo_is_told_so_and_installing_it_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dlib.py").write_text("raise ImportError('no dlib here')\n")
    with monkeypatch.context() as path:
        path.syspath_prepend(tmp_path)
        pool = EncoderPool(EncoderSettings(encoder_workers=1))
        await pool.start()
        with pytest.raises(EncoderMissing, match=r"no dlib here.*Install dlib-bin"):
            await pool.encode(saved(portrait(), "JPEG"))
        assert not pool.ready
    assert len((await pool.encode(saved(portrait(), "JPEG"))).faces) == 1
    await pool.close()


PARENT = """
import asyncio
from common.settings import EncoderSettings
from gateway.encoder import EncoderPool
from tests.gateway.encoder_photos import portrait, saved

async def main():
    pool = EncoderPool(EncoderSettings(encoder_workers=2))
    await pool.start()
    while len(pool.worker_pids) < 2:
        await asyncio.sleep(0.01)
    asyncio.create_task(pool.encode(saved(portrait().resize((5000, 5000)), "JPEG")))
    await asyncio.sleep(0)
    print(*pool.worker_pids, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_workers_end_when_the_gateway_is_killed_without_warning() -> None:
    root = Path(__file__).parents[2]
    pipe = asyncio.subprocess.PIPE
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", PARENT, cwd=root, stdout=pipe)
    assert parent.stdout is not None
    pids = [int(pid) for pid in (await parent.stdout.readline()).split()]
    assert len(pids) == 2
    assert not any(gone(pid) for pid in pids)
    parent.kill()
    await parent.wait()
    await until(lambda: all(gone(pid) for pid in pids))


async def test_ctrl_c_in_the_terminal_does_not_reach_the_workers(lone: EncoderPool) -> None:
    before = lone.worker_pids
    os.kill(before[0], signal.SIGINT)
    assert len((await lone.encode(saved(portrait(), "JPEG"))).faces) == 1
    assert lone.worker_pids == before
