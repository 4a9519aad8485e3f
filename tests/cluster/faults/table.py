"""The fault table: read from `table.toml`, shown as the README shows it."""

from __future__ import annotations

import tomllib
from pathlib import Path

OPERATIONS = ("enrol", "identify at home", "with min_version", "identify by fan-out", "erase", "move")
Row = dict[str, str]


def rows() -> dict[str, Row]:
    """fault → operation → what comes of it."""
    return tomllib.loads((Path(__file__).parent / "table.toml").read_text())


def rendered() -> str:
    """As Markdown; the README holds exactly this."""
    lines = [("fault", *OPERATIONS), ("---",) * (1 + len(OPERATIONS))]
    lines += [(fault, *(row[operation] for operation in OPERATIONS)) for fault, row in rows().items()]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    print(rendered(), end="")
