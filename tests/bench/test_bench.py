"""The parts of `make bench` that measure nothing themselves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from tests.bench.__main__ import CLUSTER_ROWS, chosen
from tests.bench.filled import Layout
from tests.bench.load import Measured
from tests.bench.report import Line, Report, middle
from tests.bench.scaling_plot import draw


@pytest.mark.parametrize(("rows", "stores"), [(1000, 7), (12, 12), (5, 1)])
def test_every_row_lies_in_one_store(rows: int, stores: int) -> None:
    layout = Layout(rows, stores)
    placed = {number: store for store, numbers in layout.runs() for number in numbers}
    assert sorted(placed) == list(range(rows))
    assert placed == {number: layout.home(number) for number in range(rows)}
    assert len(set(placed.values())) == stores


def test_rows_are_written_as_people_write_them() -> None:
    profile, out = chosen(["--rows", "1e7", "--clients", "4", "--out", "x.json"])
    assert (profile.rows, profile.stores, profile.clients, profile.peers) == (10_000_000, 10_000, 4, ())
    assert profile.served.rows == CLUSTER_ROWS
    assert out == Path("x.json")


def test_a_peer_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        chosen(["--peers", "nobody"])
    assert "no such peer: nobody" in capsys.readouterr().err


def test_the_table_and_the_file_say_the_same(tmp_path: Path) -> None:
    console = Console(width=140, record=True)
    report = Report(console, wanted=True)
    report.add(Line("speed", "bare", 12_202.4, "searches/s", 1.2, 3.4))
    report.add(Line("memory", "replica", 600, "bytes/face").beside(1.17, "the raw row", "≤ 1.35"))
    report.add(Line("speed", "search", 0.4567, "searches/s").beside(0.45, "bare", "≥ 0.45"))
    report.leave_out("photos", "no time")
    console.print(report.table("title"))
    table = console.export_text().partition("title")[2]
    assert "12,202" in table
    assert "1.17 × the raw row (wanted ≤ 1.35)" in table
    assert table.index("  search") < table.index("memory")  # with its section
    report.write(tmp_path / "new/bench.json", {"rows": 1})
    told = json.loads((tmp_path / "new/bench.json").read_text())
    assert [line["what"] for line in told["figures"]] == ["bare", "replica", "search"]
    assert told["left_out"] == {"photos": "no time"}
    assert report.value("speed", "bare") == 12_202.4


def test_no_figure_is_made_of_failed_requests() -> None:
    good, bad = Measured(10, 1, 2, 0, b"fine"), Measured(20, 1, 2, 3, b"why it failed")
    assert middle([good, good]).per_second == 10
    with pytest.raises(RuntimeError, match="3 requests failed, the first was answered b'why it failed'"):
        middle([good, bad])


def test_the_picture_is_drawn_from_what_was_measured_so_far(tmp_path: Path) -> None:
    told = {
        "machine": {"cores": 2, "processor": "some"},
        "behind": {"rows": 1000, "stores": 10, "shards": 3},
        "panels": {
            "rows": [{"rows": 10.0**n, "flat": 100.0, "singly": 1e3, "blocks": 2e3, "recall": 1.0} for n in (4, 5)],
            "clients": [{"clients": n, "home": 100.0 * n, "p50_ms": 1.0, "p99_ms": 3.0} for n in (1, 2, 4)],
        },
    }
    draw(told, tmp_path / "scaling.png")
    assert (tmp_path / "scaling.png").read_bytes().startswith(b"\x89PNG")
