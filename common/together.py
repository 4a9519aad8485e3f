"""Work that is cheaper together: what is asked for while some of it is under way is done in one go after it.

No timers: idle → at once, busy → together. One turn at a time, but one that takes longer than `patience_s` does not
hold up those behind it. Whoever asked may leave: the turn goes on, since others wait for it, or a write is in it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

Item = TypeVar("Item")
Done = TypeVar("Done")
Answers: TypeAlias = Sequence[Done | Exception]
"""what came of each item, or went wrong with it"""


@dataclass(slots=True, eq=False)
class Turn(Generic[Item, Done]):
    asked: list[tuple[Item, asyncio.Future[Done]]]
    task: asyncio.Task[Answers[Done]]
    holds: bool = True
    """nothing else is begun before it is over"""


class Together(Generic[Item, Done]):
    def __init__(
        self, do: Callable[[list[Item]], Coroutine[Any, Any, Answers[Done]]], most: int, patience_s: float
    ) -> None:
        """`do` answers up to `most` items in their order; what it raises, everybody who asked is told."""
        self._do = do
        self._most = most
        self._patience_s = patience_s
        self._waiting: deque[tuple[Item, asyncio.Future[Done]]] = deque()
        self._turns: set[Turn[Item, Done]] = set()
        self._busy = False

    async def ask(self, item: Item) -> Done:
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[Done] = loop.create_future()
        self._waiting.append((item, outcome))
        if not self._busy:
            self._busy = True
            loop.call_soon(self._begin)  # not now: what this turn of the loop brings goes together
        return await outcome

    def _begin(self) -> None:
        asked = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
        self._busy = bool(asked)
        if not asked:
            return
        loop = asyncio.get_running_loop()
        turn = Turn(asked, loop.create_task(self._do([item for item, _ in asked])))
        self._turns.add(turn)
        timer = loop.call_later(self._patience_s, self._let_pass, turn)
        turn.task.add_done_callback(lambda _: self._end(turn, timer))

    def _end(self, turn: Turn[Item, Done], timer: asyncio.TimerHandle) -> None:
        timer.cancel()
        self._turns.discard(turn)
        self._let_pass(turn)
        if turn.task.cancelled():
            for _, outcome in turn.asked:
                outcome.cancel()
            return
        error = turn.task.exception()
        answers = [error] * len(turn.asked) if error is not None else turn.task.result()
        for (_, outcome), answer in zip(turn.asked, answers, strict=True):
            _settle(outcome, answer)

    def _let_pass(self, turn: Turn[Item, Done]) -> None:
        if turn.holds:
            turn.holds = False
            self._begin()


def _settle(outcome: asyncio.Future[Done], answer: Done | BaseException) -> None:
    if outcome.done():  # whoever asked has left
        return
    if isinstance(answer, BaseException):
        outcome.set_exception(answer)
    else:
        outcome.set_result(answer)
