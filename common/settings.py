"""Every setting, read once at start from `FACEGRID_*`. README's table lists them; a test compares the two.

Nothing else reads the environment (tests/rules enforces it). A process that would listen beyond loopback without a
key refuses to start: faces are biometric data, and an open port is how they leak.
"""

from __future__ import annotations

import base64
import ipaddress
import os
from enum import StrEnum
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from common.errors import UnsafeBinding
from common.limits import NAME, NAME_RULE
from common.truth import check_url

SECRET_PREFIX = "whsec_"  # noqa: S105  # how a webhook's secret begins that is written in base64
LEAST_SECRET = 24


def is_loopback(host: str) -> bool:
    """True for localhost and loopback addresses; any other name counts as reachable from outside."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_web_url(value: str) -> bool:
    try:
        parts = urlsplit(value)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False


def _is_base64(value: str) -> bool:
    try:
        return bool(base64.b64decode(value, validate=True))
    except ValueError:
        return False


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="FACEGRID_", frozen=True, extra="ignore")


class RedisSettings(Settings):
    redis_url: str = Field("redis://127.0.0.1:6379/0", description="Where the truth is kept.")
    redis_timeout_s: float = Field(2.0, gt=0, le=60, description="Longest wait for one answer of Redis.")
    drain_s: float = Field(
        2.0, ge=0, le=300, description="After SIGTERM it serves on so long, that its callers turn to others."
    )

    @field_validator("redis_url")
    @classmethod
    def _is_redis_url(cls, value: str) -> str:
        check_url(value)
        return value


class ShardSettings(RedisSettings):
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8100, ge=1, le=65535, description="Port to listen on; the gateway's default is 8000.")
    shard: str = Field("s1", description="Name of the shard that this process serves.")
    replica: str = Field("a", description="Name of this replica within its shard.")
    advertise_url: str = Field(
        "", description="URL under which the gateways reach this shard; empty: from host and port."
    )
    cluster_key: str = Field("", description="Secret between gateways and shards; required beyond loopback.")
    heartbeat_s: float = Field(1.0, gt=0, le=60, description="Seconds between two heartbeats.")
    heartbeat_ttl_s: float = Field(5.0, gt=0, le=600, description="A replica silent for so long is no longer listed.")
    search_threads: int = Field(
        default_factory=lambda: os.cpu_count() or 1,
        ge=1,
        le=256,
        description="Threads that search: one a call, those that are idle help with long ones; default: the cores.",
    )
    wire_bytes: int = Field(32_000_000, ge=1_000_000, description="Largest body of one call from a gateway.")
    index: str = Field(
        "auto",
        description="How many rows are searched: auto (codes by their number), flat, or a factory string of Faiss.",
    )
    index_parameters: str = Field("", description="Parameters for searching with that factory string: nprobe=16.")

    @property
    def name(self) -> str:
        """How the process calls itself in its log."""
        return f"{self.shard}/{self.replica}"

    @property
    def url(self) -> str:
        return self.advertise_url or f"http://{self.host}:{self.port}"

    @field_validator("shard", "replica")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        if NAME.fullmatch(value) is None:
            raise ValueError(f"must be {NAME_RULE}")
        return value

    @model_validator(mode="after")
    def _key_beyond_loopback(self) -> ShardSettings:
        if not is_loopback(self.host) and not self.cluster_key:
            raise UnsafeBinding("Set FACEGRID_CLUSTER_KEY before listening on " + self.host + ".", field="cluster_key")
        return self


class Detection(StrEnum):
    """How small a face may be that dlib's detector still finds, in pixels of a photo of at most 2 megapixels."""

    FAST = "fast"
    """80"""
    STANDARD = "standard"
    """40, like face_recognition"""
    THOROUGH = "thorough"
    """27"""


class EncoderSettings(Settings):
    encoder_workers: int = Field(
        default_factory=lambda: os.cpu_count() or 1,
        ge=0,
        le=256,
        description="Encoder processes; default: the cores; 0: embeddings only.",
    )
    encoder_queue: int = Field(
        64, ge=1, le=10_000, description="Photos that may wait for an encoder; one more gets 503."
    )
    encoder_timeout_s: float = Field(
        30.0, gt=0, le=600, description="An encoder busy for longer with one photo is replaced."
    )
    models: str = Field(
        "", description="Folder of models' manifests and measured FMR curves; empty: dlib's model as it comes."
    )
    detector: str = Field("dlib", description="What finds the faces: dlib, or the name of a detector's manifest.")
    photo_bytes: int = Field(10_000_000, ge=1_000, description="Largest photo, in bytes.")
    photo_pixels: int = Field(
        50_000_000, ge=10_000, le=150_000_000, description="Largest photo, in pixels, after decoding."
    )
    detection: Detection = Field(
        Detection.STANDARD, description="Smallest face dlib finds: fast 80 pixels, standard 40, thorough 27."
    )
    photo_faces: int = Field(64, ge=1, le=1000, description="Faces encoded in one photo, the largest first.")


class QualitySettings(Settings):
    """What a face needs: to be enrolled from a photo, and, seen by a camera, to be counted. `gateway/quality.py` says
    how the defaults were measured."""

    enrol_min_face: float = Field(60, ge=0, le=1000, description="Smallest face to enrol, in pixels.")
    enrol_min_eye_distance: float = Field(20, ge=0, le=1000, description="Least distance of the eyes, likewise.")
    enrol_min_sharpness: float = Field(
        3, ge=0, description="Least sharpness of a face to enrol; sharp faces have 10 to 80."
    )
    enrol_min_brightness: float = Field(30, ge=0, le=255, description="Darkest face to enrol: mean luma, 0 to 255.")
    enrol_max_brightness: float = Field(210, ge=0, le=255, description="Brightest face to enrol, likewise.")
    enrol_max_yaw: float = Field(50, ge=0, le=90, description="How far a face to enrol may be turned away, in degrees.")
    enrol_min_confidence: float = Field(
        0.3, ge=0, description="Least score of the detector for a face to enrol; clear faces have 1 to 3."
    )
    sight_min_face: float = Field(40, ge=0, le=1000, description="Smallest face of a sighting, in pixels.")
    sight_min_eye_distance: float = Field(10, ge=0, le=1000, description="Least distance of the eyes, likewise.")
    sight_min_sharpness: float = Field(
        1.2, ge=0, description="Least sharpness of a sighting; sharp faces have 10 to 80."
    )
    sight_min_brightness: float = Field(
        25, ge=0, le=255, description="Darkest face of a sighting: mean luma, 0 to 255."
    )
    sight_max_brightness: float = Field(220, ge=0, le=255, description="Brightest face of a sighting, likewise.")
    sight_max_yaw: float = Field(60, ge=0, le=90, description="How far a sighted face may be turned away, in degrees.")
    sight_min_confidence: float = Field(0.2, ge=0, description="Least score of the detector; clear faces have 1 to 3.")

    @field_validator("enrol_max_brightness", "sight_max_brightness")
    @classmethod
    def _leaves_some(cls, value: float, info: ValidationInfo) -> float:
        darkest = str(info.field_name).replace("max", "min")
        if value <= info.data.get(darkest, 0):
            raise ValueError(f"must be above FACEGRID_{darkest.upper()}, or every face is refused")
        return value


class GatewaySettings(RedisSettings, EncoderSettings, QualitySettings):
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=1, le=65535, description="Port to listen on; a shard's default is 8100.")
    api_keys: str = Field("", description="Comma-separated keys that clients send; required beyond loopback.")
    cluster_key: str = Field("", description="Secret between gateways and shards; required beyond loopback.")
    deadline_s: float = Field(10.0, gt=0, le=300, description="Longest time for one request, its photos included.")
    shard_timeout_s: float = Field(2.0, gt=0, le=60, description="Longest wait for one call to a shard.")
    view_refresh_s: float = Field(
        0.5, gt=0, le=60, description="Seconds between two looks at the map and the heartbeats."
    )
    lease_s: float = Field(5.0, ge=0.1, le=300, description="A leading gateway silent for so long is replaced.")
    dead_after_s: float = Field(
        30.0, gt=0, le=86_400, description="A shard without a live replica for so long has its stores placed on others."
    )
    move_grace_s: float = Field(
        2.0, ge=0, le=300, description="Both shards serve a moved store so long, that every gateway learns of the move."
    )
    body_bytes: int = Field(32_000_000, ge=1_000_000, description="Largest body of a request.")
    target_fpir: float = Field(0.01, ge=1e-9, lt=1, description="Accepted chance that a stranger matches anyone.")
    verify_fmr: float = Field(
        0.001, ge=1e-9, lt=1, description="Accepted chance that two strangers verify as one person."
    )
    feed_length: int = Field(100_000, ge=100, description="Entries kept in a store's feed.")
    visit_days: int = Field(
        35, ge=1, le=3650, description="Days for which visits are kept; older ones as daily figures."
    )
    pending_limit: int = Field(
        100_000, ge=1, description="Sightings of a store that may wait for shards; one more gets 503."
    )
    webhook_url: str = Field("", description="Where events are posted; empty: nowhere.")
    webhook_secret: str = Field(
        "", description="Key of the webhook's signature; required with a URL.", validate_default=True
    )
    webhook_attempts: int = Field(10, ge=1, le=100, description="Tries to post an event before it is a dead letter.")

    @property
    def name(self) -> str:
        """How the process calls itself in its log."""
        return "gateway"

    @property
    def keys(self) -> frozenset[str]:
        return frozenset(key.strip() for key in self.api_keys.split(",") if key.strip())

    @field_validator("webhook_url")
    @classmethod
    def _is_web_url(cls, value: str) -> str:
        if value and not is_web_url(value):
            raise ValueError("must be an http:// or https:// URL with a host")
        return value

    @field_validator("webhook_secret")
    @classmethod
    def _signs(cls, value: str, info: ValidationInfo) -> str:
        if info.data.get("webhook_url") and len(value) < LEAST_SECRET:
            raise ValueError(f"must have at least {LEAST_SECRET} characters where FACEGRID_WEBHOOK_URL is set")
        if value.startswith(SECRET_PREFIX) and not _is_base64(value.removeprefix(SECRET_PREFIX)):
            raise ValueError(f"must be base64 after {SECRET_PREFIX}")
        return value

    @model_validator(mode="after")
    def _key_beyond_loopback(self) -> GatewaySettings:
        if not is_loopback(self.host) and not self.keys:
            raise UnsafeBinding("Set FACEGRID_API_KEYS before listening on " + self.host + ".", field="api_keys")
        return self
