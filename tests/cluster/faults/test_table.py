"""Every cell of the fault table, and that the README shows the table as it is."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.cluster.faults.inject import inject
from tests.cluster.faults.operations import OPERATIONS
from tests.cluster.faults.scene import scene
from tests.cluster.faults.table import rendered, rows
from tests.conftest import REPOSITORY

pytestmark = pytest.mark.cluster

HASTY_S, PATIENT_S = 0.4, 3.0
"""how long a call to a replica may take: where one hangs, and where one needs two seconds"""

MOVES_S, WAITS_S = 20.0, 1.5
"""how long a move is watched: where it is done in a fraction of a second, machines under load included, and where it
waits for the end of the fault"""


async def cell(folder: Path, fault: str, operation: str) -> str:
    timeout_s = PATIENT_S if "slow" in fault else HASTY_S
    async with scene(folder, shard_timeout_s=timeout_s) as made:
        made.move_s = MOVES_S if rows()[fault]["move"].endswith("moved") else WAITS_S
        await inject(fault, made)
        return await OPERATIONS[operation](made)


@pytest.mark.parametrize("fault", rows())
async def test_each_operation_does_what_the_table_says_under(fault: str, tmp_path: Path) -> None:
    """Each on a cluster of its own, all at once: most of the time is waiting for what does not come."""
    found = await asyncio.gather(*(cell(tmp_path / operation, fault, operation) for operation in OPERATIONS))
    assert dict(zip(OPERATIONS, found, strict=True)) == rows()[fault]


def test_the_readme_shows_the_table() -> None:
    """`python -m tests.cluster.faults.table` prints it."""
    assert rendered() in (REPOSITORY / "README.md").read_text()
