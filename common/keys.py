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
FLIPS = "fg:{map}:flips"
"""set: "<store>/<incarnation>" of stores that change, or changed, their embedding space from that incarnation on, until
the map says the next one"""
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


def store_of_feed(key: bytes) -> str:
    """The store whose feed it is."""
    return key.decode().removeprefix("fg:{").removesuffix("}:feed")


def standings(store: str) -> str:
    """hash: face_id → "s" (staff) or "m" (member), bound to a member "s:<member_id>" or "m:<member_id>"; a plain
    visitor is not in it. An entry from before staff's said whose is "s" alone, bound or not"""
    return f"fg:{{{store}}}:standings"


def seen(store: str) -> str:
    """zset: face_id by its last sighting anywhere, ms; for retention"""
    return f"fg:{{{store}}}:seen"


def origins(store: str) -> str:
    """hash: face_id → its first sighting anywhere, ms; tells new from returning for the whole group"""
    return f"fg:{{{store}}}:origins"


def places(store: str) -> str:
    """hash: face_id → the other stores it was seen at, comma-separated; where an erasure or a merge has to look"""
    return f"fg:{{{store}}}:places"


def rekeys(store: str) -> str:
    """hash: face_id of a face that is gone → what its visits shall be kept under, as JSON, until that is done"""
    return f"fg:{{{store}}}:rekeys"


def visits(store: str, date: str) -> str:
    """hash: person → its intervals of that UTC date at this store, as `common.visits` writes them"""
    return f"fg:{{{store}}}:visits:{date}"


def visit_days(store: str) -> str:
    """set: the UTC dates that `visits` exist for"""
    return f"fg:{{{store}}}:visit-days"


def firsts(store: str) -> str:
    """hash: person → its first sighting at this store, ms"""
    return f"fg:{{{store}}}:firsts"


def rejections(store: str) -> str:
    """hash: "<UTC hour> <reason> <mark>" of each face too poor to be told apart → 1"""
    return f"fg:{{{store}}}:rejections"


def pending(store: str) -> str:
    """stream: sightings whose search was incomplete, with their probes, waiting for full coverage"""
    return f"fg:{{{store}}}:pending"


def announced(store: str, person: str) -> str:
    """string with TTL: the checkout was told of a person whose sighting waits"""
    return f"fg:{{{store}}}:announced:{person}"


def events(store: str) -> str:
    """stream: arrivals and corrections for the checkout; names faces, holds nothing of them"""
    return f"fg:{{{store}}}:events"


def feedback(store: str) -> str:
    """hash: event id → "1" (that was me) or "0" (that's not me)"""
    return f"fg:{{{store}}}:feedback"


def rollups(store: str) -> str:
    """hash: local date → the figures of a day whose visits are no longer kept, as JSON"""
    return f"fg:{{{store}}}:rollups"


def distinct(store: str, date: str) -> str:
    """HyperLogLog: the persons of a rolled-up local date"""
    return f"fg:{{{store}}}:distinct:{date}"


def distinct_members(store: str, date: str) -> str:
    """HyperLogLog: the members among them"""
    return f"fg:{{{store}}}:distinct-members:{date}"


def union(store: str, token: str) -> str:
    """HyperLogLog that lives for one transaction: several days' persons together"""
    return f"fg:{{{store}}}:union:{token}"


def webhook_cursor(store: str) -> str:
    """string: id of the last event that the webhook was told"""
    return f"fg:{{{store}}}:webhook"


def migration(store: str) -> str:
    """hash: the last change of the store's embedding space and how far it has come; see `common.migrations`"""
    return f"fg:{{{store}}}:migration"


def left_behind(store: str) -> str:
    """set: faces without a template, whom the last change of space could not re-encode"""
    return f"fg:{{{store}}}:left-behind"


def staged_faces(store: str) -> str:
    """hash: face_id → what `faces` will hold in the space to come; only of faces that have not changed since"""
    return f"fg:{{{store}}}:staged:faces"


def staged_templates(store: str) -> str:
    """hash: the same for `templates`"""
    return f"fg:{{{store}}}:staged:templates"


def staged_left_behind(store: str) -> str:
    """set: the same for `left_behind`"""
    return f"fg:{{{store}}}:staged:left-behind"


MEMBERS = "fg:{members}:profiles"
"""hash: member_id → profile as JSON"""
MEMBER_BINDINGS = "fg:{members}:bindings"
"""hash: member_id → token of the last binding of a face to it that was begun"""
DEAD_LETTERS = "fg:dead-letters"
"""stream: events that the webhook's receiver did not take"""
WEBHOOK_SINCE = "fg:webhook-since"
"""string: id that an event would have had when the webhook was first used"""
WAITING_STORES = "fg:waiting"
"""set: stores that may have pending sightings"""


def member_faces(member_id: str) -> str:
    """set: "<store>/<face_id>"; all faces bound to the member, and perhaps one whose binding was cut short"""
    return f"fg:{{members}}:faces:{member_id}"


def of_faces(store: str) -> list[str]:
    """The keys that a commit writes; `commit.lua` knows their order."""
    return [
        faces(store),
        templates(store),
        thumbnails(store),
        feed(store),
        standings(store),
        seen(store),
        origins(store),
        places(store),
        rekeys(store),
        pending(store),
        left_behind(store),
        staged_faces(store),
        staged_templates(store),
        staged_left_behind(store),
    ]


def of_store(store: str) -> list[str]:
    """Every key of a store but `incarnation` and those named by a date; faces come first."""
    return [
        *of_faces(store),
        visit_days(store),
        firsts(store),
        rejections(store),
        events(store),
        feedback(store),
        rollups(store),
        webhook_cursor(store),
        migration(store),
    ]
