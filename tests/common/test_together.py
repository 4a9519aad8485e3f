"""What is done together, and what a turn that hangs, fails or is given up means for those that wait."""

from __future__ import annotations

import asyncio

import pytest

from common.together import Together

NEVER_S = 60.0


class Work:
    """Doubles numbers when it is let; `turns` are the numbers that it was given."""

    def __init__(self) -> None:
        self.turns: list[list[int]] = []
        self.gate = asyncio.Event()

    async def do(self, numbers: list[int]) -> list[int | Exception]:
        self.turns.append(numbers)
        await self.gate.wait()
        return [ValueError(f"{number} is odd") if number % 2 else 2 * number for number in numbers]


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def asked(together: Together[int, int], *numbers: int) -> list[asyncio.Task[int]]:
    return [asyncio.create_task(together.ask(number)) for number in numbers]


async def test_what_comes_while_a_turn_is_under_way_is_done_in_the_next_in_the_order_it_came() -> None:
    work = Work()
    together = Together(work.do, 3, NEVER_S)
    tasks = asked(together, 2, 4)
    await settled()
    tasks += asked(together, 6, 8, 10, 12)
    await settled()
    assert work.turns == [[2, 4]]
    work.gate.set()
    assert await asyncio.gather(*tasks) == [4, 8, 12, 16, 20, 24]
    assert work.turns == [[2, 4], [6, 8, 10], [12]]
    assert await together.ask(14) == 28


async def test_what_goes_wrong_with_one_is_told_to_that_one() -> None:
    work = Work()
    work.gate.set()
    two, three, four = asked(Together(work.do, 9, NEVER_S), 2, 3, 4)
    assert (await two, await four) == (4, 8)
    with pytest.raises(ValueError, match="3 is odd"):
        await three


async def test_what_goes_wrong_with_the_turn_is_told_to_all_and_the_next_goes_on() -> None:
    broken = True

    async def do(numbers: list[int]) -> list[int]:
        if broken:
            raise OSError("away")
        return numbers

    together = Together(do, 9, NEVER_S)
    for task in asked(together, 1, 2):
        with pytest.raises(OSError, match="away"):
            await task
    broken = False
    assert await together.ask(3) == 3


async def test_a_turn_that_takes_too_long_does_not_hold_up_the_next() -> None:
    work = Work()
    together = Together(work.do, 9, 0.01)
    first = asked(together, 2)
    async with asyncio.timeout(10):
        while not work.turns:
            await asyncio.sleep(0)
        second = asked(together, 4)
        while len(work.turns) < 2:
            await asyncio.sleep(0.001)
    work.gate.set()
    assert await asyncio.gather(*first, *second) == [4, 8]


async def test_whoever_leaves_takes_nothing_from_the_others() -> None:
    work = Work()
    together = Together(work.do, 9, NEVER_S)
    leaves, stays = asked(together, 2, 4)
    await settled()
    leaves.cancel()
    await settled()
    work.gate.set()
    assert await stays == 8
    assert leaves.cancelled()
    assert work.turns == [[2, 4]]
