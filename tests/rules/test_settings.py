"""README's table of settings says what the settings are: every name, and every default.

A default is written as the value itself; `cores` where it follows the machine, a dash where it is empty, and gateway's
before shard's with a slash where the two differ.
"""

from __future__ import annotations

from common.settings import GatewaySettings, Settings, ShardSettings
from tests.rules.files import table_rows, text

SERVICES: tuple[type[Settings], ...] = (GatewaySettings, ShardSettings)


def defaults(*services: type[Settings]) -> dict[str, str]:
    """FACEGRID_X → its default as the README writes it."""
    found: dict[str, list[str]] = {}
    for service in services:
        for name, field in service.model_fields.items():
            value = "cores" if field.default_factory else "—" if field.default == "" else f"{field.default:}"
            found.setdefault(f"FACEGRID_{name.upper()}", []).append(value)
    return {name: " / ".join(dict.fromkeys(values)) for name, values in found.items()}


def listed(markdown: str) -> dict[str, str]:
    """FACEGRID_X → the default cell of every table row that is about a setting."""
    rows = (row for row in table_rows(markdown) if row[0].startswith("`FACEGRID_") and len(row) >= 3)
    return {row[0].strip("`"): row[1].replace("`", "") for row in rows}


def test_the_readme_lists_every_setting_with_its_default() -> None:
    written = listed(text("README.md"))
    expected = defaults(*SERVICES)
    assert {name: written.get(name) for name in expected} == expected


def test_the_readme_lists_no_setting_that_does_not_exist() -> None:
    known = defaults(*SERVICES).keys() | {"FACEGRID_URL", "FACEGRID_KEY"}
    compose = {line.partition("=")[0] for line in text(".env.example").splitlines()}
    assert listed(text("README.md")).keys() - known - compose == set()


def test_a_setting_says_what_it_is() -> None:
    assert [name for service in SERVICES for name, field in service.model_fields.items() if not field.description] == []


def test_defaults_of_two_services_are_told_apart() -> None:
    assert defaults(*SERVICES)["FACEGRID_PORT"] == "8000 / 8100"
    assert defaults(*SERVICES)["FACEGRID_HOST"] == "127.0.0.1"
    assert defaults(*SERVICES)["FACEGRID_SEARCH_THREADS"] == "cores"
    assert defaults(*SERVICES)["FACEGRID_API_KEYS"] == "—"


def test_a_table_is_read_by_its_setting_cells_alone() -> None:
    table = "| setting | default | meaning |\n|---|---|---|\n| `FACEGRID_X` | `7` | what |\n| `OTHER` | 1 | no |"
    assert listed(table) == {"FACEGRID_X": "7"}
