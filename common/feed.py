"""Following: what changed since the versions a replica has, for many stores and the map in one read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis

from common import keys
from common.truth import truth

BATCH = 1000


@dataclass(slots=True)
class Changes:
    map_position: str
    """pass it to the next read"""
    map_changed: bool = False
    faces: dict[str, list[str]] = field(default_factory=dict)
    """store → face ids to look at again, each once"""
    versions: dict[str, int] = field(default_factory=dict)
    """store → version after those faces are applied"""
    gaps: set[str] = field(default_factory=set)
    """stores whose next entries were trimmed: reload them"""
    more: bool = False
    """of some store there may be more: read again"""


async def read_changes(
    redis: Redis, map_position: str, versions: Mapping[str, int], block_ms: int | None = None
) -> Changes:
    """The entries after `versions` and after `map_position`; wait up to `block_ms` for one, if there is none.

    Raises TruthUnavailable. The blocking time must stay below the client's socket timeout.
    """
    named = [keys.MAP_FEED, *map(keys.feed, versions)]
    after = [map_position, *(f"{version}-0" for version in versions.values())]
    wait = () if block_ms is None else ("BLOCK", block_ms)
    with truth():
        # Not `xread`, which takes as long again for a thousand feeds as sending them.
        answer: Any = await redis.execute_command(  # type: ignore[no-untyped-call]  # redis-py has no types for it
            "XREAD", "COUNT", BATCH, *wait, "STREAMS", *named, *after
        )
    changes = Changes(map_position)
    for key, entries in answer:
        if key == keys.MAP_FEED.encode():
            changes.map_changed = True
            changes.map_position = entries[-1][0].decode()
        else:
            store = keys.store_of_feed(key)
            _note(changes, store, versions[store], entries)
    return changes


def _note(changes: Changes, store: str, version: int, entries: list[tuple[bytes, dict[bytes, bytes]]]) -> None:
    first, last = (int(entries[at][0].split(b"-")[0]) for at in (0, -1))
    if first != version + 1:
        changes.gaps.add(store)
        return
    changes.faces[store] = list(dict.fromkeys(fields[b"f"].decode() for _, fields in entries))
    changes.versions[store] = last
    changes.more |= len(entries) == BATCH


async def map_position(redis: Redis) -> str:
    """Where following the map starts: read it, then the map, so that no change falls between."""
    with truth():
        entries: Any = await redis.xrevrange(keys.MAP_FEED, count=1)
    return entries[0][0].decode() if entries else "0-0"


async def replication_id(redis: Redis) -> str:
    """Changes when the server restarted or another took over: then what was followed may not be the truth any more."""
    with truth():
        info = await redis.info("replication")
    return str(info["master_replid"])
