"""Values for the OpenAPI examples: valid ones, so that "Try it out" works."""

from __future__ import annotations

import math

from pydantic import JsonValue

from common.types import DLIB_DIMENSION, DLIB_SPACE

EMBEDDING: list[JsonValue] = [round(math.sin(at), 4) for at in range(DLIB_DIMENSION)]
"""any direction will do: embeddings are scaled to unit length"""

STORE = {
    "store": "vienna-1",
    "shard": "s1",
    "group": "default",
    "timezone": "Europe/Vienna",
    "space": DLIB_SPACE,
    "threshold": 0.95,
    "target_fpir": 0.005,
    "margin": 0.01,
    "reentry_window_s": 1800,
    "retention_days": 30,
    "member_retention_days": 730,
    "faces": 3,
    "created": "2026-11-20T08:00:00Z",
    "move": {"source": "s1", "target": "s2", "state": "loading"},
}
FACE = {
    "face_id": "ada",
    "kind": "member",
    "member_id": "c-1042",
    "labels": {"door": "north"},
    "templates": 3,
    "created": "2026-11-20T08:00:00Z",
    "updated": "2026-11-20T09:30:00Z",
    "thumbnail": False,
}
MEMBER_CARD: dict[str, JsonValue] = {
    "member_id": "c-1042",
    "display_name": "Ada Lovelace",
    "tier": "gold",
    "external_id": "crm-77810",
    "attributes": {"language": "en"},
}
CANDIDATE = {
    "store": "vienna-1",
    "face_id": "ada",
    "score": 0.9731,
    "distance": 0.2319,
    "kind": "member",
    "member_id": "c-1042",
    "photos": 3,
    "threshold": 0.9482,
}
COVERAGE = {
    "stores": {"total": 3, "searched": 3, "missing": []},
    "rows": 1200,
    "rows_missing": 0,
    "shards": {"total": 3, "ok": 3, "failed": []},
}
QUALITY = {
    "face_size": 108.0,
    "eye_distance": 41.5,
    "sharpness": 30.26,
    "brightness": 119.7,
    "yaw": -8.4,
    "roll": 1.6,
    "confidence": 1.57,
}
SAID = {
    "verdict": "match",
    "candidates": [CANDIDATE],
    "member": MEMBER_CARD,
    "threshold": 0.9482,
    "threshold_measured": True,
}
RESULT = SAID | {
    "box": {"left": 70, "top": 71, "width": 108, "height": 108},
    "quality": QUALITY,
    "reasons": [],
    "coverage": COVERAGE,
    "route": {"mode": "fan_out", "shard": "s1", "versions": {"vienna-1": 12, "graz-1": 4, "linz-1": 9}},
}
BATCH_RESULT = SAID | {"store": "vienna-1", "mode": "fan_out", "version": 12, "coverage": 0}
SHARD = {
    "shard": "s1",
    "state": "ready",
    "stores": ["vienna-1"],
    "rows": 40_000,
    "draining": False,
    "moves": [{"store": "vienna-1", "source": "s1", "target": "s2", "state": "loading"}],
    "replicas": [
        {
            "replica": "a",
            "url": "http://127.0.0.1:8101",
            "state": "ready",
            "boot": "6f1c",
            "stores": 1,
            "rows": 40_000,
            "lag": 0,
            "age_s": 0.4,
            "groups": [
                {
                    "group": "default",
                    "space": "dlib-resnet-v1",
                    "rows": 40_000,
                    "index": "PCAR64,PQ64x4fs",
                    "coded": 40_000,
                    "recall": 0.99,
                }
            ],
        }
    ],
}
REBALANCE = {
    "dry_run": True,
    "moves": [{"store": "vienna-1", "source": "s1", "target": "s2", "rows": 400}],
    "shards": [
        {"shard": "s1", "rows_before": 1000, "rows_after": 600},
        {"shard": "s2", "rows_before": 200, "rows_after": 600},
    ],
}
SIGHTED = {
    "outcome": "counted",
    "verdict": "match",
    "new": False,
    "store": "graz-1",
    "face_id": "ada",
    "kind": "member",
    "member_id": "c-1042",
    "score": 0.9713,
    "threshold": 0.9482,
    "visit": {"start": "2026-11-20T07:58:00Z", "started": False},
    "reasons": [],
    "box": {"left": 70, "top": 71, "width": 108, "height": 108},
    "photo": 0,
}
METRICS = """# HELP facegrid_leader 1 if this gateway leads
# TYPE facegrid_leader gauge
facegrid_leader 1.0
"""
