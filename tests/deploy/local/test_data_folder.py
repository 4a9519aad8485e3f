"""One cluster at a time on a folder, and its logs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.data_folder import LOG_BYTES, DataFolder, DataInUse


def test_a_folder_in_use_says_by_whom_and_is_free_again_afterwards(tmp_path: Path) -> None:
    first, second = DataFolder(tmp_path / "data"), DataFolder(tmp_path / "data")
    first.lock("the cluster at http://127.0.0.1:8000")
    with pytest.raises(DataInUse, match=r"in use by the cluster at http://127\.0\.0\.1:8000"):
        second.lock("another")
    first.unlock()
    second.lock("another")
    second.unlock()


def test_a_folder_that_was_removed_or_replaced_is_not_ours_any_more(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.lock("a cluster")
    assert folder.is_ours()
    folder.root.rename(tmp_path / "elsewhere")
    assert not folder.is_ours()
    other = DataFolder(tmp_path / "data")
    other.lock("another")
    assert not folder.is_ours()
    assert other.is_ours()
    folder.unlock()
    other.unlock()


def test_a_process_that_inherited_the_lock_keeps_the_folder_in_use(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    lock = folder.lock("a cluster that was killed")
    server = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[lock])
    folder.unlock()
    with pytest.raises(DataInUse, match="a cluster that was killed"):
        DataFolder(tmp_path).lock("the next")
    server.communicate()
    folder.lock("the next")
    folder.unlock()


def test_what_is_made_is_for_its_owner_only_and_a_folder_that_was_there_keeps_its_rights(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir(mode=0o755)
    new, there = DataFolder(tmp_path / "new" / "data"), DataFolder(tmp_path / "shared")
    for folder in (new, there):
        folder.lock("me")
        folder.open_log("s1/a").close()
        private = [folder.redis, folder.logs, folder.log_of("s1/a")]
        assert all(path.stat().st_mode & 0o077 == 0 for path in private)
        folder.unlock()
    assert new.root.stat().st_mode & 0o077 == 0
    assert there.root.stat().st_mode & 0o777 == 0o755


def test_logs_are_appended_to_and_a_large_one_is_moved_aside(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.lock("me")
    for line in (b"one\n", b"two\n"):
        with folder.open_log("s1/a") as log:
            log.write(line)
    assert folder.end_of_log("s1/a") == "one\ntwo"
    os.truncate(folder.log_of("s1/a"), LOG_BYTES + 1)
    with folder.open_log("s1/a") as log:
        log.write(b"three\n")
    assert folder.end_of_log("s1/a") == "three"
    assert folder.end_of_log("never started") == ""
    folder.unlock()
