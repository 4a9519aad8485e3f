"""One leader at a time: a lease in Redis with a fencing number.

The token carries the number; the map's script compares it with the lease as it is at that moment. So a leader that
was stopped for a while and wakes up after another took over cannot write, whatever it believes.
"""

from __future__ import annotations

from pathlib import Path

from redis.asyncio import Redis

from common import keys
from common.truth import truth


class Lease:
    def __init__(self, redis: Redis, holder: str) -> None:
        """`holder` is unique to one start of one process."""
        self._redis = redis
        self._holder = holder
        self._script = redis.register_script((Path(__file__).parent / "lease.lua").read_text())

    async def hold(self, ttl_s: float) -> str | None:
        """Take the lease or keep it for another `ttl_s`; the token while it is ours, None while it is another's.

        Raises TruthUnavailable.
        """
        with truth(outcome="unknown"):
            token = await self._script(keys=[keys.LEADER, keys.LEADER_EPOCH], args=[self._holder, int(ttl_s * 1000)])
        return token.decode() if token else None

    async def release(self) -> None:
        """Let another take over at once; harmless where the lease is not ours. Raises TruthUnavailable."""
        await self.hold(0)
