"""The names of the Redis keys. `{…}` is the hash tag: all of one store, and both keys of the map, share a slot."""

from __future__ import annotations

MAP_STORES = "fg:{map}:stores"
"""hash: store → StoreConfig as JSON"""
MAP_FEED = "fg:{map}:feed"
"""stream: names of stores whose place or settings changed; wakes the followers"""
LEADER = "fg:{map}:leader"
"""string with TTL: token of the gateway that leads"""
LEADER_EPOCH = "fg:{map}:epoch"
"""counter: the fencing number of the last lease"""
MOVES = "fg:{map}:moves"
"""hash: store → shard it shall be moved to, until the leader has begun"""
DRAINING = "fg:{map}:draining"
"""set: shards that get no stores and give theirs away"""
PROBE = "fg:probe"
"""string with TTL: written to see whether writes are accepted"""
REPLICAS = "fg:replicas"
"""set: names of heartbeat keys, so that no one scans the keyspace"""


def heartbeat(shard: str, replica: str) -> str:
    """string with TTL: a replica's announcement as JSON"""
    return f"fg:shard:{shard}:{replica}"


def incarnation(store: str) -> str:
    """string: which creation of the store the other keys belong to; absent → no commit is accepted"""
    return f"fg:{{{store}}}:incarnation"


def faces(store: str) -> str:
    """hash: face_id → FaceRecord"""
    return f"fg:{{{store}}}:faces"


def templates(store: str) -> str:
    """hash: face_id → templates, concatenated float32"""
    return f"fg:{{{store}}}:templates"


def thumbnails(store: str) -> str:
    """hash: face_id → JPEG of the aligned face, only where keeping it was asked for at enrolment"""
    return f"fg:{{{store}}}:thumbnails"


def feed(store: str) -> str:
    """stream: entry n-0 is version n of the store and names the face that changed"""
    return f"fg:{{{store}}}:feed"


def of_store(store: str) -> list[str]:
    """Every key of a store but `incarnation`; the scripts know their order."""
    return [faces(store), templates(store), thumbnails(store), feed(store)]
