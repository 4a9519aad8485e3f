"""The spool: whole files or none, in order, bounded, one agent at a time."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.camera.spool import REJECTIONS_KEPT, Spool, SpoolInUse, name_of, pack, unpack, write_whole
from deploy.client.sightings import Sighting
from tests.conftest import REPOSITORY
from tests.deploy.camera.made import NINE, sighting

MakeSpool = Callable[..., Spool]


@pytest.fixture
def spool(tmp_path: Path) -> MakeSpool:
    """A spool on one folder; the one before is closed first, as after a restart."""
    opened: list[Spool] = []

    def open_again(limit_bytes: int = 1_000_000, lost: list[str] | None = None) -> Spool:
        if opened:
            opened.pop().close()
        made = Spool(tmp_path / "spool", limit_bytes, (lost if lost is not None else []).append)
        made.open()
        opened.append(made)
        return made

    return open_again


def drained(spool: Spool) -> list[Sighting]:
    found: list[Sighting] = []
    while (entry := spool.next()) is not None:
        found.append(entry[1])
        spool.done(entry[0])
    return found


def test_a_sighting_comes_back_as_it_was_put() -> None:
    assert unpack(pack(sighting(1))) == sighting(1)


def test_sightings_come_oldest_first_also_after_a_restart(spool: MakeSpool) -> None:
    for nth in (3, 1, 2):
        spool().put(sighting(nth))
    assert drained(spool()) == [sighting(nth) for nth in (1, 2, 3)]
    assert drained(spool()) == []


def test_a_sighting_that_was_given_but_not_done_is_given_again(spool: MakeSpool) -> None:
    first = spool()
    first.put(sighting(1))
    assert first.next() == first.next()
    assert drained(spool()) == [sighting(1)]


def test_putting_the_same_again_changes_nothing(spool: MakeSpool) -> None:
    waiting = spool()
    waiting.put(sighting(1))
    size = waiting.bytes
    waiting.put(sighting(1))
    assert (len(waiting), waiting.bytes) == (1, size)
    assert drained(waiting) == [sighting(1)]
    assert waiting.bytes == 0


def test_the_rank_goes_before_the_time(spool: MakeSpool) -> None:
    waiting = spool()
    for nth in (1, 2):
        waiting.put(sighting(nth))
    faulty = name_of(sighting(1))
    entry = waiting.next(lambda name: name == faulty)
    assert entry is not None
    assert entry[1] == sighting(2)


def test_nobody_else_may_read_what_waits(spool: MakeSpool) -> None:
    waiting = spool()
    waiting.put(sighting(1))
    waiting.put(sighting(2))
    waiting.reject(name_of(sighting(2)), sighting(2), {"code": "NO_FACE"})
    paths = [waiting.root, *waiting.root.rglob("*")]
    assert len(paths) == 6
    assert {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in paths} == {(True, 0o700), (False, 0o600)}


def test_a_full_spool_drops_the_oldest_and_says_so_but_never_what_is_being_sent(spool: MakeSpool) -> None:
    lost: list[str] = []
    waiting = spool(limit_bytes=6500, lost=lost)
    for nth in range(3):
        waiting.put(sighting(nth))
    assert (waiting.full, lost) == (True, [])
    being_sent = waiting.next()
    waiting.put(sighting(3))
    assert waiting.dropped == 1
    assert lost == ["The spool is full (6,500 bytes): the sighting of 2026-11-20T08:01:00.000+00:00 is lost."]
    assert being_sent is not None
    assert being_sent[1] == sighting(0)
    assert drained(waiting) == [sighting(nth) for nth in (0, 2, 3)]


def test_the_limit_counts_what_an_earlier_run_left(spool: MakeSpool) -> None:
    for nth in range(3):
        spool(limit_bytes=6500).put(sighting(nth))
    assert spool(limit_bytes=6500).full
    last = spool(limit_bytes=6500)
    last.put(sighting(3))
    assert (last.dropped, len(last)) == (1, 3)
    assert last.bytes == sum(path.stat().st_size for path in last.root.glob("waiting/*")) <= 6500


def test_replacing_leaves_the_others_and_rejecting_leaves_no_photo(spool: MakeSpool) -> None:
    waiting = spool()
    waiting.put(sighting(1))
    waiting.replace(name_of(sighting(1)), sighting(1).one_by_one())
    assert [(one.at_ms - NINE, len(one.shots)) for one in drained(spool())] == [(60_000, 1), (60_200, 1)]
    waiting = spool()
    waiting.put(sighting(2))
    waiting.reject(name_of(sighting(2)), sighting(2), {"code": "NO_FACE", "detail": "None."})
    assert drained(waiting) == []
    (told,) = waiting.root.glob("rejected/*.json")
    assert json.loads(told.read_text()) == {
        "store": "vienna",
        "camera": "door",
        "track": "track2",
        "at": "2026-11-20T08:02:00.000+00:00",
        "photos": 2,
        "problem": {"code": "NO_FACE", "detail": "None."},
    }


def test_rejections_are_bounded(spool: MakeSpool) -> None:
    waiting = spool()
    for nth in range(REJECTIONS_KEPT):
        (waiting.root / "rejected" / f"{nth:014d}-old.0.json").touch()
    waiting.put(sighting(1))
    waiting.reject(name_of(sighting(1)), sighting(1), {"code": "NO_FACE"})
    kept = sorted(path.name for path in waiting.root.glob("rejected/*"))
    assert len(kept) == REJECTIONS_KEPT
    assert kept[0] == "00000000000001-old.0.json"
    assert "track1" in kept[-1]


@pytest.mark.parametrize("damage", [b"", b"\x00" * 50, pack(sighting(1))[:-10], b"\x80"])
def test_a_damaged_file_is_set_aside_and_the_others_go_on(spool: MakeSpool, damage: bytes) -> None:
    lost: list[str] = []
    first = spool()
    first.put(sighting(2))
    (first.root / "waiting" / name_of(sighting(1))).write_bytes(damage)
    again = spool(lost=lost)
    assert drained(again) == [sighting(2)]
    assert len(lost) == 1
    (told,) = again.root.glob("rejected/*.json")
    assert json.loads(told.read_text())["problem"]["code"] == "UNREADABLE"


def test_what_was_half_written_is_removed_and_never_sent(spool: MakeSpool) -> None:
    first = spool()
    (first.root / "waiting" / f"{name_of(sighting(1))}.tmp").write_bytes(pack(sighting(1)))
    assert drained(spool()) == []
    assert list(first.root.glob("waiting/*")) == []


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(tmp_path / "x", b"1")
    assert list(tmp_path.iterdir()) == []


def test_two_agents_on_one_spool_are_told_apart(spool: MakeSpool) -> None:
    waiting = spool()
    second = (
        "import sys; from pathlib import Path; from deploy.camera.spool import Spool, SpoolInUse\n"
        "try: Spool(Path(sys.argv[1])).open()\n"
        "except SpoolInUse as error: print(error)"
    )
    command = [sys.executable, "-c", second, str(waiting.root)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert f"is in use by process {os.getpid()}; give each camera its own --spool." in done.stdout
    with pytest.raises(SpoolInUse):
        Spool(waiting.root).open()
    waiting.close()
    assert subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY).stdout == ""
