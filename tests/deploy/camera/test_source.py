"""Frames and their times: a folder of photos, a video file."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deploy.camera.opencv import OpenCvMissing
from deploy.camera.source import Folder, Frame, Schedule, Source, SourceError, exif_ms
from deploy.camera.video import Video
from deploy.client.moment import as_ms, as_text, parse_ms
from gateway.encoder.decode import Pixels
from tests.deploy.camera.made import NINE
from tests.deploy.camera.videos import filmed

TAKEN = {0x9003: "2026:11:20 09:00:00"}


def photo(path: Path, grey: int = 0, exif: dict[int, str] | None = None, mtime_ms: int = NINE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    block = Image.Exif()
    if exif:
        block.get_ifd(0x8769).update(exif)
    Image.new("RGB", (40, 30), (grey, grey, grey)).save(path, exif=block)
    os.utime(path, ns=(mtime_ms * 1_000_000, mtime_ms * 1_000_000))


def seen(source: Source) -> list[tuple[int, int]]:
    """(ms after nine, grey) of each frame."""
    frames: list[Frame] = list(source.frames())
    source.close()
    return [(frame.at_ms - NINE, int(np.median(frame.pixels))) for frame in frames]


def folder(root: Path, schedule: Schedule | None = None, skipped: list[str] | None = None) -> Folder:
    heard = skipped if skipped is not None else []
    return Folder(root, schedule, lambda name, why: heard.append(f"{Path(name).name}: {why}"))


def test_photos_come_in_the_order_of_their_names_with_the_files_times(tmp_path: Path) -> None:
    photo(tmp_path / "b.png", 2, mtime_ms=NINE)
    photo(tmp_path / "a.png", 1, mtime_ms=NINE + 5000)
    photo(tmp_path / "a" / "z.bmp", 3, mtime_ms=NINE + 7)
    photo(tmp_path / ".hidden" / "x.png", 9)
    photo(tmp_path / ".x.png", 9)
    (tmp_path / "notes.txt").write_text("no photo")
    assert seen(folder(tmp_path)) == [(7, 3), (5000, 1), (0, 2)]


def test_the_cameras_clock_goes_before_the_files(tmp_path: Path) -> None:
    photo(tmp_path / "1.jpg", exif=TAKEN | {0x9011: "+01:00", 0x9291: "25"}, mtime_ms=1)
    photo(tmp_path / "2.jpg", exif=TAKEN | {0x9011: "-03:30"}, mtime_ms=1)
    photo(tmp_path / "3.jpg", exif={0x9003: "0000:00:00 00:00:00"}, mtime_ms=NINE + 3)
    photo(tmp_path / "4.jpg", exif={0x9003: "yesterday", 0x9011: "+01:00"}, mtime_ms=NINE + 4)
    assert [at for at, _ in seen(folder(tmp_path))] == [250, 4.5 * 3_600_000, 3, 4]


def test_a_camera_without_an_offset_means_this_machines_local_time() -> None:
    assert exif_ms(TAKEN) == as_ms(datetime(2026, 11, 20, 9).astimezone())
    assert parse_ms("2026-11-20T09:00:00") == exif_ms(TAKEN)


def test_a_schedule_goes_before_all_and_counts_photos_that_cannot_be_read(tmp_path: Path) -> None:
    skipped: list[str] = []
    for nth in (0, 2, 3):
        photo(tmp_path / f"{nth}.jpg", nth, exif=TAKEN)
    (tmp_path / "1.jpg").write_bytes(b"\xff\xd8\xff no more")
    (tmp_path / "4.jpg").symlink_to("nowhere")
    assert seen(folder(tmp_path, Schedule(NINE, 0.5), skipped)) == [(0, 0), (1000, 2), (1500, 3)]
    assert [line.split(":")[0] for line in skipped] == ["1.jpg", "4.jpg"]
    assert "TRUNCATED_IMAGE" in skipped[0]
    assert "No such file" in skipped[1]


def test_a_folder_without_photos_says_so(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no photo"):
        seen(folder(tmp_path))


def test_times_are_read_and_written_to_the_millisecond() -> None:
    assert as_text(NINE + 250) == "2026-11-20T08:00:00.250+00:00"
    assert parse_ms("2026-11-20T09:00:00.25+01:00") == NINE + 250
    assert as_ms(datetime(1969, 12, 31, 23, 59, 59, 999_000, UTC)) == -1
    for text in ("", "9 o'clock", "2026-13-01T00:00:00Z"):
        with pytest.raises(ValueError, match=r".*"):
            parse_ms(text)


def greys(count: int) -> list[Pixels]:
    return [np.full((120, 160, 3), 8 * nth, dtype=np.uint8) for nth in range(count)]


def test_a_videos_frames_have_the_start_and_their_position_as_time(tmp_path: Path) -> None:
    video = filmed(tmp_path / "v.avi", greys(20), per_second=10)
    found = seen(Video(video, NINE, every_s=0.1))
    assert [at for at, _ in found] == [100 * nth for nth in range(20)]
    assert all(abs(grey - 8 * nth) <= 4 for nth, (_, grey) in enumerate(found)), found


@pytest.mark.parametrize("every_s", [0.2, 0.25, 1.0])
def test_a_video_is_looked_at_only_so_often(tmp_path: Path, every_s: float) -> None:
    video = filmed(tmp_path / "v.avi", greys(31), per_second=10)
    found = [at for at, _ in seen(Video(video, NINE, every_s))]
    expected = {
        0.2: list(range(0, 3001, 200)),
        0.25: [0, 300, 500, 800, 1000, 1300, 1500, 1800, 2000, 2300, 2500, 2800, 3000],  # the first at or after each
        1.0: [0, 1000, 2000, 3000],
    }
    assert found == expected[every_s]


def test_a_video_without_a_start_ends_when_its_file_was_last_changed(tmp_path: Path) -> None:
    video = filmed(tmp_path / "v.mp4", greys(20), per_second=10, codec="mp4v")
    os.utime(video, ns=(NINE * 1_000_000, NINE * 1_000_000))
    assert [at for at, _ in seen(Video(video, every_s=0.5))] == [-2000, -1500, -1000, -500]


def test_colours_are_red_green_blue(tmp_path: Path) -> None:
    red = np.zeros((120, 160, 3), dtype=np.uint8)
    red[..., 0] = 200
    (frame,) = Video(filmed(tmp_path / "v.avi", [red], per_second=1)).frames()
    assert abs(int(frame.pixels[60, 80, 0]) - 200) < 12
    assert frame.pixels[60, 80, 1:].max() < 20
    assert frame.pixels.shape == (120, 160, 3)
    assert frame.pixels.dtype == np.uint8


@pytest.mark.parametrize("content", [b"", b"no video at all" * 100])
def test_what_is_no_video_says_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "v.mp4").write_bytes(content)
    with pytest.raises(SourceError, match="no video that OpenCV can read"):
        seen(Video(tmp_path / "v.mp4"))


def test_without_opencv_a_video_says_what_to_install_and_a_folder_does_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(OpenCvMissing, match="pip install opencv-python-headless"):
        Video(tmp_path / "v.mp4")
    photo(tmp_path / "a.png", 1)
    assert seen(folder(tmp_path)) == [(0, 1)]
