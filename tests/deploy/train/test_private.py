"""Files of a run are written whole, private, and by one run at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import CannotTrain
from deploy.train.private import locked, write


def test_a_second_run_is_kept_out_until_the_first_ends(tmp_path: Path) -> None:
    with locked(tmp_path / "run"), pytest.raises(CannotTrain, match="Another run"), locked(tmp_path / "run"):
        pytest.fail("two runs in one folder")
    with locked(tmp_path / "run"):
        assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700


def test_a_file_is_replaced_and_private(tmp_path: Path) -> None:
    (tmp_path / "file.partial").write_bytes(b"left by a run that was killed")
    for content in (b"one", b"two"):
        write(tmp_path / "file", content)
        assert (tmp_path / "file").read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600
