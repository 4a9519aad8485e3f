"""Who may import what. Each rule is shown to find a violation before the code is held to it."""

from __future__ import annotations

import pytest

from tests.rules.files import CODE, modules
from tests.rules.imports import (
    against_direction,
    against_ownership,
    imports_of,
    reads_of_environment,
    scans_of_redis,
)

MAY_IMPORT = {
    "common": frozenset[str](),
    "gateway": frozenset({"common"}),
    "shard": frozenset({"common"}),
    "deploy": frozenset({"common", "gateway", "shard"}),
}
OWNERS = {
    "faiss": ("shard/products.py", "shard/recipe.py"),
    # The last six are handed the client and hand it on. The others talk to Redis.
    "redis": (
        "common/truth.py",
        "common/joined.py",
        "common/hints.py",
        "common/ledger.py",
        "common/scan.py",
        "common/feed.py",
        "common/cluster_map.py",
        "common/durability.py",
        "common/lease.py",
        "common/members.py",
        "common/visits.py",
        "common/rollups.py",
        "common/pending.py",
        "common/events.py",
        "common/outbox.py",
        "common/persons.py",
        "common/rekeys.py",
        "common/migrations.py",
        "common/expiry.py",
        "deploy/local/embedded_redis.py",
        "common/serve.py",
        "gateway/app.py",
        "gateway/start.py",
        "shard/app.py",
        "shard/replica.py",
        "shard/follower.py",
    ),
    # The hot lane has an owner at each end; httpx is how the command line and local clusters speak to the gateway.
    "httptools": ("gateway/transport.py", "shard/short_calls.py"),
    "aiohttp": (),
    "httpx": (
        "deploy/client/http.py",
        "deploy/client/events.py",
        "gateway/receiver.py",
        "deploy/client/sightings.py",
        "deploy/cli/options.py",
        "deploy/local/cluster.py",
    ),
    # Reading a pickle runs what it says.
    "pickle": (),
    "cPickle": (),
    "_pickle": (),
    "dill": (),
    "cloudpickle": (),
    "joblib": (),
    "shelve": (),
    "marshal": (),
}
ENVIRONMENT_READERS = (
    "common/settings.py",
    "*/__main__.py",
    "deploy/healthcheck.py",
    "deploy/local/cluster.py",
    "deploy/cli/cluster.py",
)


@pytest.fixture(scope="module")
def code() -> dict[str, str]:
    found = modules(*CODE)
    assert {"common/ledger.py", "deploy/local/embedded_redis.py"} <= found.keys()
    return found


def test_packages_import_only_downwards(code: dict[str, str]) -> None:
    assert [line for path, source in code.items() for line in against_direction(path, source, MAY_IMPORT)] == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("common/a.py", "from shard.gallery import Gallery"),
        ("common/a.py", "import tests.conftest"),
        ("gateway/a.py", "from shard import app"),
        ("gateway/a.py", "def late():\n    import shard.gallery as g"),
        (
            "gateway/a.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from deploy.client.http import Client",
        ),
        ("gateway/a.py", "from importlib import import_module\nimport_module('shard.app')"),
        ("shard/routes/a.py", "import gateway"),
        ("shard/a.py", "from . import gallery"),
        ("deploy/a.py", "from tests import conftest"),
    ],
)
def test_an_import_upwards_or_across_is_found(path: str, source: str) -> None:
    assert len(against_direction(path, source, MAY_IMPORT)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("common/a.py", "import shardless\nfrom common import keys"),
        ("gateway/a.py", "from common.types import Kind\nfrom gateway.router import route"),
        ("deploy/a.py", "import gateway.__main__, shard.__main__"),
    ],
)
def test_an_import_downwards_is_allowed(path: str, source: str) -> None:
    assert against_direction(path, source, MAY_IMPORT) == []


def test_a_library_with_owners_is_imported_by_them_alone(code: dict[str, str]) -> None:
    assert [line for path, source in code.items() for line in against_ownership(path, source, OWNERS)] == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("shard/routes.py", "import faiss"),
        ("gateway/router.py", "from redis.asyncio import Redis"),
        ("gateway/router.py", "from redis import exceptions as gone"),
        ("gateway/enrol.py", "import httpx"),
        ("shard/gallery.py", "import pickle"),
        ("deploy/a.py", "__import__('marshal')"),
    ],
)
def test_an_import_by_somebody_else_is_found(path: str, source: str) -> None:
    assert len(against_ownership(path, source, OWNERS)) == 1


def test_no_permission_outlives_its_use(code: dict[str, str]) -> None:
    used = {(found.root, path) for path, source in code.items() for found in imports_of(source) if found.root in OWNERS}
    granted = {(library, path) for library, paths in OWNERS.items() for path in paths}
    assert granted - used == set()


def test_only_settings_and_starters_read_the_environment(code: dict[str, str]) -> None:
    assert [
        line for path, source in code.items() for line in reads_of_environment(path, source, ENVIRONMENT_READERS)
    ] == []


@pytest.mark.parametrize(
    "source",
    [
        "import os\nos.environ['X']",
        "import os as system\nsystem.getenv('X')",
        "from os import environ",
        "from os import getenv as get",
    ],
)
def test_a_read_of_the_environment_is_found(source: str) -> None:
    assert reads_of_environment("gateway/app.py", source, ENVIRONMENT_READERS) != []
    assert reads_of_environment("gateway/__main__.py", source, ENVIRONMENT_READERS) == []


def test_only_one_module_scans_redis(code: dict[str, str]) -> None:
    """Redis's own cursor means nothing to a server that was started again; that module knows."""
    assert [line for path, source in code.items() for line in scans_of_redis(path, source, "common/scan.py")] == []


@pytest.mark.parametrize("call", ["redis.hscan(key)", "self._redis.sscan_iter(key)", "pipe.scan(0)", "pipe.zscan(key)"])
def test_a_scan_is_found(call: str) -> None:
    assert len(scans_of_redis("common/a.py", call, "common/scan.py")) == 1
    assert scans_of_redis("common/scan.py", call, "common/scan.py") == []
