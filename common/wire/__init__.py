"""The wire between gateway and shard: MessagePack with raw little-endian arrays, every length and dtype checked.

A call carries several queries; a query asks about several probes in several stores. Probes and hits of all queries lie
one after another in arrays, so that a call costs little more than one query. Queries that share the very same `stores`
mapping send it once, and their replies share one `searched`.
Never pickle: it runs what it reads.

Many stores go as the bytes of their mapping, which a shard reads once for as long as they stay the same. Older shards
refuse those.

Who a candidate is comes with it: a letter for its kind, and a member's id or nothing; and how many photos are behind
its row, for its threshold. A gateway refuses an answer without them rather than call a member of staff a visitor, or a
stranger somebody: in an upgrade the shards come first.
"""

from __future__ import annotations

from common.wire.call import Query, QueryReply, SearchCall, pack_call, unpack_call
from common.wire.reply import pack_reply, unpack_reply
from common.wire.scope import MANY, Scope, Views
from common.wire.version import AwaitCall, pack_await, pack_version, unpack_await, unpack_version

CONTENT_TYPE = "application/msgpack"

__all__ = [
    "CONTENT_TYPE",
    "MANY",
    "AwaitCall",
    "Query",
    "QueryReply",
    "Scope",
    "SearchCall",
    "Views",
    "pack_await",
    "pack_call",
    "pack_reply",
    "pack_version",
    "unpack_await",
    "unpack_call",
    "unpack_reply",
    "unpack_version",
]
