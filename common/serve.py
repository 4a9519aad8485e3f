"""Running a service: settings from the environment, logs to stderr, uvicorn on uvloop and httptools.

SIGTERM and Ctrl-C drain: no new connections, what is being answered is finished. The access log is off: paths name
stores and faces.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import NoReturn, TypeVar

import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError

from common.errors import UnsafeBinding
from common.settings import GatewaySettings, ShardSettings

DRAIN_S = 10
Chosen = TypeVar("Chosen", GatewaySettings, ShardSettings)


def serve(settings_type: type[Chosen], create_app: Callable[[Chosen], FastAPI]) -> None:
    """Serve until told to stop; exits with status 2 and one clear line if the settings are not valid."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # one line a call is too much, and names shards
    try:
        settings = settings_type()
    except UnsafeBinding as error:
        _refuse(f"{error.title}. {error.detail}")
    except ValidationError as error:
        _refuse("; ".join(f"FACEGRID_{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors()))
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=DRAIN_S,
        server_header=False,
    )


def _refuse(reason: str) -> NoReturn:
    print(f"facegrid: {reason}", file=sys.stderr)
    raise SystemExit(2)
