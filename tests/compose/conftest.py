"""One stack for all compose tests of a run. Each test leaves it as it found it: all containers up, all shards ready."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.compose.stack import Stack, compose_command, works


@pytest.fixture(scope="package")
def stack(pytestconfig: pytest.Config) -> Iterator[Stack]:
    if not works("docker", "info"):
        pytest.skip("no Docker engine answers")
    compose = compose_command()
    if compose is None:
        pytest.skip("neither `docker compose` nor docker-compose is installed")
    stack = Stack(compose)
    try:
        _start(stack, pytestconfig)
        yield stack
        _show(pytestconfig, stack.list_containers())
    finally:
        stack.down()


def _start(stack: Stack, config: pytest.Config) -> None:
    try:
        stack.up()
    except Exception:
        _show(config, stack.call("logs", "--no-color", "--tail=40"))
        raise
    _show(config, stack.list_containers())


def _show(config: pytest.Config, text: str) -> None:
    """Write past pytest's capture, so that a log shows what really ran."""
    capture = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print(f"\n{text}", flush=True)
