"""The compose file, its example of settings and the services' own settings agree; no engine is needed to see that."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from common.settings import GatewaySettings, Settings, ShardSettings
from tests.rules.files import text

VARIABLE = re.compile(r"\$\{(?P<name>FACEGRID_\w+)(?::-(?P<default>[^}]*))?")
OF_THE_IMAGE = {"FACEGRID_HOST", "FACEGRID_PORT", "FACEGRID_REPLICA"}
FIXED = {f"FACEGRID_{name}" for name in ("REDIS_URL", "SHARD", "PORT", "ADVERTISE_URL", "MODELS")}
FOR_TESTS = {"FACEGRID_IMAGE_TAG"}


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(text("docker-compose.yml"))["services"]
    assert found.keys() == {"redis", "shard-1", "shard-2", "shard-3", "gateway"}
    return found


def test_the_example_lists_every_variable_with_the_default_of_the_compose_file() -> None:
    matches = list(VARIABLE.finditer(text("docker-compose.yml")))
    variables = {match["name"]: match["default"] or "" for match in matches if match["name"] not in FOR_TESTS}
    lines = [line for line in text(".env.example").splitlines() if line and not line.startswith("#")]
    assert dict(line.split("=", 1) for line in lines) == variables


def test_every_setting_given_to_a_service_is_one_of_its_settings(services: dict[str, dict[str, Any]]) -> None:
    known = {name: ShardSettings.model_fields.keys() for name in services if name.startswith("shard")}
    known["gateway"] = GatewaySettings.model_fields.keys()
    for name, fields in known.items():
        given = {variable.removeprefix("FACEGRID_").lower() for variable in services[name]["environment"]}
        assert given <= fields, name


@pytest.mark.parametrize(
    ("service", "settings"), [("gateway", GatewaySettings), ("shard-1", ShardSettings), ("shard-3", ShardSettings)]
)
def test_every_setting_of_a_service_can_be_given_in_env(
    services: dict[str, dict[str, Any]], service: str, settings: type[Settings]
) -> None:
    given = services[service]["environment"]
    assert {f"FACEGRID_{name.upper()}" for name in settings.model_fields} - given.keys() - OF_THE_IMAGE == set()
    fixed = {name for name, value in given.items() if value is not None and f"${{{name}" not in value}
    assert fixed <= FIXED


def test_a_shard_is_not_given_the_keys_of_clients(services: dict[str, dict[str, Any]]) -> None:
    for name in ("shard-1", "shard-2", "shard-3"):
        assert "env_file" not in services[name]
        assert services[name]["environment"].keys() & {"FACEGRID_API_KEYS", "FACEGRID_WEBHOOK_SECRET"} == set()


def test_the_gateway_is_given_every_setting_of_footfall_and_webhooks_with_its_default(
    services: dict[str, dict[str, Any]],
) -> None:
    about = ("sight_", "webhook_", "visit_", "pending_")
    fields = {name: field for name, field in GatewaySettings.model_fields.items() if name.startswith(about)}
    given = services["gateway"]["environment"]
    expected = {f"FACEGRID_{name.upper()}": f"{field.default}" for name, field in fields.items()}
    assert {name: given.get(name) for name in expected} == {
        name: f"${{{name}:-{default}}}" for name, default in expected.items()
    }


def test_shards_announce_the_name_and_port_under_which_they_are_reached(services: dict[str, dict[str, Any]]) -> None:
    for name in ("shard-1", "shard-2", "shard-3"):
        environment = services[name]["environment"]
        assert environment["FACEGRID_SHARD"] == name.replace("shard-", "s")
        assert environment["FACEGRID_ADVERTISE_URL"] == f"http://{name}:{environment['FACEGRID_PORT']}"


def test_nothing_but_the_gateway_can_be_reached_from_outside(services: dict[str, dict[str, Any]]) -> None:
    assert [name for name, service in services.items() if "ports" in service] == ["gateway"]
    assert [name for name, service in services.items() if service["networks"] != ["inside"]] == ["gateway"]
    assert services["gateway"]["ports"][0].startswith("${FACEGRID_BIND:-127.0.0.1}:")


def test_no_service_has_more_rights_than_it_needs(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["read_only"] is True, name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "mem_limit" in service, name
