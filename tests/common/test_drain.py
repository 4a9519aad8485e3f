"""The way out: steps and pauses in order, and answers that close their connection from the first moment on."""

from __future__ import annotations

import asyncio

import httpx
from fastapi import FastAPI

from common.drain import Drain, LastAnswers


async def test_each_step_is_followed_by_its_part_of_the_grace() -> None:
    loop = asyncio.get_running_loop()
    done: list[float] = []

    async def step() -> None:
        done.append(loop.time())

    started = loop.time()
    await Drain(0.2, step, step).run()
    assert done[1] - done[0] >= 0.09
    assert loop.time() - started >= 0.19


async def test_without_steps_the_grace_is_one_pause() -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    await Drain(0.1).run()
    assert loop.time() - started >= 0.09


async def test_once_it_has_begun_every_answer_closes_its_connection() -> None:
    drain = Drain(60)
    app = FastAPI()
    app.add_middleware(LastAnswers, drain=drain)

    @app.get("/")
    async def hello() -> str:
        return "hello"

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as http:
        assert "connection" not in (await http.get("/")).headers
        leaving = asyncio.create_task(drain.run())
        await asyncio.sleep(0)
        assert (await http.get("/")).headers["connection"] == "close"
        assert (await http.get("/nothing")).headers["connection"] == "close"
        leaving.cancel()


async def test_what_never_ends_by_itself_is_ended_when_it_stops_listening_and_not_before() -> None:
    drain, ended = Drain(0), list[str]()
    drain.at_end(lambda: ended.append("streams"))
    await drain.run()
    assert ended == []
    drain.end()
    assert ended == ["streams"]
