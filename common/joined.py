"""A client of Redis whose short commands leave together.

A sighting or an enrolment is one script, and the client takes longer to send it and to read its answer than the server
takes to run it: 90 us each by themselves, 25 where sixteen requests are under way. Each command has its own outcome as
if it were alone; where the connection breaks, all that were under way in it have.

Commands are packed by hiredis, as the client's blocking sibling does: a follower that names 333 feeds takes 50 us for
it instead of 400.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import hiredis
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, BusyLoadingError, ReadOnlyError
from redis.exceptions import ConnectionError as RedisConnectionError

from common.together import Together

JOINED = frozenset({"EVALSHA", "GET", "HGET", "HMGET", "SMEMBERS"})
"""what requests wait for, and what never blocks"""
FEW, SHORT = 64, 16_384
"""arguments, and bytes of each; what is longer goes by itself, and nobody waits behind it"""
MOST_JOINED = 64
REFUSING = (BusyLoadingError, AuthenticationError)
"""what the client takes for the end of the connection"""
JOINED_PATIENCE_S = 0.05
"""a server that takes longer is busy, or away: then each write waits by itself, as long as its caller lets it"""


class Command(NamedTuple):
    arguments: tuple[Any, ...]
    options: dict[str, Any]


class Joined(Redis):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.connection_pool.connection_class = _packing(self.connection_pool.connection_class)
        self._together = Together[Command, Any](self._send, MOST_JOINED, JOINED_PATIENCE_S)

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        if args[0] in JOINED and len(args) <= FEW and not any(type(one) is bytes and len(one) > SHORT for one in args):
            return await self._together.ask(Command(args, options))
        return await self._alone(Command(args, options))

    async def _alone(self, command: Command) -> Any:
        answer: Any = await super().execute_command(*command.arguments, **command.options)  # type: ignore[no-untyped-call]  # the client's
        return answer

    async def _send(self, commands: list[Command]) -> list[Any]:
        if len(commands) == 1:
            return [await self._alone(commands[0])]
        pipe = self.pipeline(transaction=False)
        for arguments, options in commands:
            pipe.execute_command(*arguments, **options)
        try:
            answers: list[Any] = await pipe.execute(raise_on_error=False)
        except RedisConnectionError as error:
            if isinstance(error, REFUSING) or isinstance(error.__context__, ReadOnlyError):
                # By the server, at one of them, where the client gives up the others' answers: some may have been done.
                raise RedisConnectionError("The server refused a command that left with others.") from error
            raise
        return answers


def _packing(kind: type[Any]) -> type[Any]:
    """The same kind of connection with the faster packer."""
    return type(f"Packing{kind.__name__}", (kind,), {"pack_command": _pack})


def _pack(_: object, name: str | bytes, *arguments: Any) -> list[bytes]:
    words = name.encode().split() if isinstance(name, str) else [name]  # CONFIG GET is two
    return [hiredis.pack_command((*words, *arguments))]
