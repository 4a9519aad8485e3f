"""`facegrid footfall`: tables, bars, CSV, and the notes that say how far to trust the figures."""

from __future__ import annotations

import csv
import io
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis
from typer.testing import CliRunner

from deploy.cli.app import app
from deploy.cli.footfall import bar, bars, periods, show
from deploy.client.footfall import FiguresBody, FootfallClient, ReportBody
from gateway.schemas.footfall import FootfallAnswer
from tests.gateway.checkout import gateway_process
from tests.gateway.footfall_world import World

EXAMPLE: ReportBody = FootfallAnswer.model_config["json_schema_extra"]["examples"][0]  # type: ignore[index, assignment]  # the documented answer


def figures(start: str, pv: int = 1) -> FiguresBody:
    return {**deepcopy(EXAMPLE["stores"][0]["total"]), "start": start, "pv": pv}


def report(**more: Any) -> ReportBody:
    return {**deepcopy(EXAMPLE), **more}  # type: ignore[typeddict-item]  # the same fields


def shown(capsys: pytest.CaptureFixture[str], body: ReportBody) -> str:
    show(body)
    return capsys.readouterr().out


def test_a_group_is_shown_store_by_store_together_and_by_bucket(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, report(exact=True, error=None))
    assert "2026-11-20 to 2026-11-21, Europe/Vienna" in text
    assert [line.split()[0] for line in text.splitlines() if " 18:24 " in line] == ["vienna-1", "all", "Fri"]
    assert "graz-1" in text
    assert "Faces too poor to be told apart: 12 BLURRED." in text
    assert "Provisional" not in text
    assert "~" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_what_may_still_change_is_said_with_its_bounds(capsys: pytest.CaptureFixture[str]) -> None:
    row = {**deepcopy(EXAMPLE["stores"][0]), "provisional": {"pending": 3, "pv": [409, 415], "uv": [371, 374]}}
    text = " ".join(shown(capsys, report(chain=row)).split())
    assert "Provisional: 3 sightings wait for shards. PV will be from 409 to 415, UV from 371 to 374." in text


def test_estimates_are_marked_and_what_is_not_known_is_not_made_up(capsys: pytest.CaptureFixture[str]) -> None:
    row = deepcopy(EXAMPLE["stores"][0])
    for one in (row["total"], row["buckets"][0]):
        one["exact"] = False
        one["occupancy"]["peak"] = None
    text = shown(capsys, report(chain=row, exact=False, error=0.0081))
    assert text.count("~371") == 2
    assert " ?" in text
    assert "standard error 0.8%" in text


@pytest.mark.parametrize(
    ("size", "starts", "names"),
    [
        ("hour", ["2026-11-20T09:00:00+01:00"], ["2026-11-20 09:00"]),
        (
            "hour",
            ["2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00"],
            ["2026-10-25 02:00 +02:00", "2026-10-25 02:00 +01:00", "2026-10-25 03:00"],
        ),
        ("day", ["2026-11-20T00:00:00+01:00"], ["Fri 2026-11-20"]),
        ("week", ["2026-12-28T00:00:00+01:00", "2027-01-04T00:00:00+01:00"], ["2026-W53", "2027-W01"]),
        ("month", ["2026-11-20T00:00:00+01:00"], ["2026-11"]),
    ],
)
def test_buckets_are_named_as_people_do(size: str, starts: list[str], names: list[str]) -> None:
    assert periods([figures(start) for start in starts], size) == names


def test_the_longest_bar_fills_the_line_and_nothing_has_none(capsys: pytest.CaptureFixture[str]) -> None:
    bars([("Fri", 40), ("Sat", 10), ("Sun", 0)])
    lines = capsys.readouterr().out.splitlines()[1:]
    lengths = [line.count("█") for line in lines]
    assert len(lines[0]) <= 80
    assert lengths[0] > 60
    assert lengths == [lengths[0], lengths[0] // 4, 0]
    assert (bar(1, 16, 10), bar(0, 0, 10), bar(16, 16, 10)) == ("▋", "", "█" * 10)


@pytest.mark.parametrize("arguments", [[], ["--store", "A", "--group", "b"], ["--store", "a/b"], ["--bucket", "year"]])
def test_asked_wrongly_it_ends_with_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, ["footfall", *arguments]).exit_code == 2


def test_the_client_sends_what_was_given_and_nothing_else() -> None:
    seen: list[dict[str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(dict(request.url.params))
        return httpx.Response(200, json=EXAMPLE)

    client = FootfallClient("http://gateway.test", "key", transport=httpx.MockTransport(answer))
    assert client.footfall(store="A", start="2026-11-20", bucket=None) == EXAMPLE
    client.footfall_csv(group="b", end="2026-11-20")
    assert seen == [{"store": "A", "from": "2026-11-20"}, {"group": "b", "to": "2026-11-20", "format": "csv"}]


@pytest.mark.cluster
async def test_the_command_prints_what_the_gateway_reports(redis: Redis, redis_url: str) -> None:
    noon = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=2)
    async with World(redis) as world:
        await world.create("A", "UTC")
        await world.create("B", "Europe/Vienna")
        await world.enrol("A", "ada", "m", seen_ms=int(noon.timestamp() * 1000))
        await world.see("A", "A", "ada", [int(noon.timestamp() * 1000)])
    asked = ["footfall", "--store", "A", "--from", f"{noon:%Y-%m-%d}", "--to", f"{noon + timedelta(days=1):%Y-%m-%d}"]
    with gateway_process(redis_url) as gateway:
        table = CliRunner().invoke(app, [*asked, "--bucket", "hour", "--url", gateway.url])
        as_csv = CliRunner().invoke(app, [*asked, "--csv", "--url", gateway.url])
        refused = CliRunner().invoke(app, ["footfall", "--store", "Z", "--url", gateway.url])
        of_two_zones = CliRunner().invoke(app, ["footfall", "--group", "default", "--url", gateway.url])
    assert table.exit_code == 0, table.stderr
    assert f"{noon:%Y-%m-%d %H:%M}  █" in table.stdout
    (row,) = csv.DictReader(io.StringIO(as_csv.stdout))
    assert (row["store"], row["pv"], row["members"]) == ("A", "1", "1")
    assert refused.exit_code == 1
    assert "Store Z does not exist" in refused.stderr
    assert of_two_zones.exit_code == 1
    assert "--timezone" in of_two_zones.stderr
