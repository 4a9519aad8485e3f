"""`python -m gateway`: serve, with the settings of the environment."""

from __future__ import annotations

from common.serve import serve
from common.settings import GatewaySettings
from common.truth import connect
from gateway.app import create_app


def main() -> None:
    serve(GatewaySettings, lambda settings: create_app(settings, connect(settings.redis_url, settings.redis_timeout_s)))


if __name__ == "__main__":
    main()
