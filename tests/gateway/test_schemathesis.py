"""Requests made up from the OpenAPI page, valid ones and bad ones, against a gateway, a shard and an encoder, all real.

Every check that schemathesis knows by itself, but those in `NOT_CHECKED`. In half of the valid requests the names in
the path are those of a store and a face that exist: made-up ones would find little but 404.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from redis.asyncio import Redis
from schemathesis.checks import CheckFunction
from schemathesis.specs.openapi import checks

from common.settings import GatewaySettings
from deploy.local.cluster import LocalCluster
from deploy.local.embedded_redis import free_port
from gateway.app import create_app
from gateway.body import RAW
from tests.gateway.in_process import unit

pytestmark = pytest.mark.cluster

EXAMPLES = 20
"""made-up requests an operation: about 40 s for all of them"""
STORE, FACE = "vienna", "ada"
NOT_CHECKED: list[CheckFunction] = [
    # A schema cannot say what an IANA time zone is, how many numbers the store's embeddings have, that they must point
    # somewhere, or that the bytes of a photo must be a photo. What is refused for that is a 422 that names the field.
    checks.positive_data_acceptance,
    # Names that exist are put into the path by us; what it thinks was deleted was created again.
    checks.use_after_free,
    checks.ensure_resource_availability,
]

ENDLESS = "/v1/stores/{store}/events"
"""it would be read until it ends; test_events.py has its bad requests"""

for sent_as, like in (("application/x-npz", RAW), ("application/zip", RAW), ("application/x-ndjson", "text/plain")):
    schemathesis.serializer.alias(sent_as, like)

schema = schemathesis.openapi.from_dict(create_app(GatewaySettings(encoder_workers=0), Redis()).openapi()).exclude(
    path=ENDLESS
)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEGRID_ENCODER_WORKERS", "1")
        folder = tmp_path_factory.mktemp("schemathesis")
        with (
            LocalCluster(folder, shards=1, port=free_port()) as cluster,
            httpx.Client(base_url=cluster.url, trust_env=False) as http,
        ):
            yield http


@schema.parametrize()
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), derandomize=True)
def test_made_up_requests_get_what_the_page_promises(case: schemathesis.Case[Any], gateway: httpx.Client) -> None:
    gateway.put(f"/v1/stores/{STORE}", json={})  # each time: the request before may have deleted them
    gateway.post(f"/v1/stores/{STORE}/faces", json={"embeddings": unit(1).tolist(), "face_id": FACE})
    valid = case.meta is not None and case.meta.generation.mode.is_positive
    if valid and random.Random(repr(case.path_parameters)).random() < 0.5:
        known = {"store": STORE, "face_id": FACE}
        case.path_parameters.update({name: known[name] for name in case.path_parameters if name in known})
    case.call_and_validate(base_url=str(gateway.base_url), excluded_checks=NOT_CHECKED)
