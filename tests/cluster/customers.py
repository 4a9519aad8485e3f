"""Constant load on a cluster from clients that keep the rules, and a strict account of what they were answered.

A client stays with a gateway until it is refused a connection there (nothing was sent) or told `Connection: close`;
then it goes to the next one. It repeats a write only where the answer says that it may: 503 because of Redis, under the
same face id. Everything else that is not what was to be answered is noted as wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import httpx
import numpy as np

PAUSE_S = 0.02
"""between two requests of one client: the machine is to be busy, not full"""


@dataclass(slots=True)
class Account:
    acknowledged: dict[str, tuple[str, int]] = field(default_factory=dict)
    """face id → store, seed of its embedding"""
    seen: list[str] = field(default_factory=list)
    """those that were acknowledged as visible: every later search has to find them"""
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def embedding(seed: int) -> list[float]:
    row: list[float] = np.random.default_rng(seed).standard_normal(128).tolist()
    return row


class Client:
    def __init__(self, urls: Sequence[str], account: Account, number: int) -> None:
        self._urls = urls
        self._at = number
        self._account = account
        self._random = random.Random(number)
        self._http = httpx.AsyncClient(timeout=15, trust_env=False)

    async def send(self, path: str, body: dict[str, object]) -> httpx.Response:
        for _ in range(4 * len(self._urls)):
            try:
                answer = await self._http.post(self._urls[self._at % len(self._urls)] + path, json=body)
            except httpx.ConnectError:
                self._at += 1
                self._account.counts["connections refused"] += 1
                await asyncio.sleep(PAUSE_S)
                continue
            if answer.headers.get("connection") == "close":
                self._at += 1
            return answer
        raise httpx.ConnectError("no gateway accepts connections")

    async def enrol(self, store: str, face_id: str, seed: int) -> None:
        while True:
            answer = await self.send(f"/v1/stores/{store}/faces", {"embeddings": [embedding(seed)], "face_id": face_id})
            if answer.status_code != 503 or answer.json()["code"] != "TRUTH_UNAVAILABLE":
                break
            self._account.counts["writes refused for Redis, repeated"] += 1
            await asyncio.sleep(0.1)
        if answer.status_code not in {200, 201}:
            self._account.wrong.append(f"enrol: {answer.status_code} {answer.text}")
            return
        self._account.acknowledged[face_id] = (store, seed)
        self._account.counts["enrolled"] += 1
        if answer.json()["visible"]:
            self._account.seen.append(face_id)

    async def search(self, store: str, seed: int, expected: str | None) -> None:
        answer = await self.send(f"/v1/stores/{store}/search", {"embeddings": [embedding(seed)]})
        self._account.counts["searches"] += 1
        if answer.status_code != 200:
            self._account.wrong.append(f"search: {answer.status_code} {answer.text}")
            return
        result = answer.json()["results"][0]
        found = result["candidates"][0]["face_id"] if result["verdict"] == "match" else None
        if found != expected or result["verdict"] == "inconclusive":
            self._account.wrong.append(f"search: {result['verdict']} {found} instead of {expected}: {answer.text}")

    async def run(self, number: int, stores: Sequence[str]) -> None:
        turn = 0
        while True:
            turn += 1
            try:
                await self._turn(f"c{number}-{turn}", 1_000_000 * number + turn, self._random.choice(stores), stores)
            except httpx.HTTPError as error:
                self._account.wrong.append(f"lost: {type(error).__name__} {error}")
            await asyncio.sleep(PAUSE_S)

    async def _turn(self, face_id: str, seed: int, store: str, stores: Sequence[str]) -> None:
        match self._random.randrange(3):
            case 0:
                await self.enrol(store, face_id, seed)
            case 1 if self._account.seen:
                known = self._random.choice(self._account.seen)
                await self.search(self._random.choice(stores), self._account.acknowledged[known][1], known)
            case _:
                await self.search(store, seed + 500_000, None)

    async def close(self) -> None:
        await self._http.aclose()


@contextlib.asynccontextmanager
async def customers(urls: Sequence[str], stores: Sequence[str], clients: int) -> AsyncIterator[Account]:
    """`clients` run inside the block."""
    account = Account()
    running = [Client(urls, account, number) for number in range(1, clients + 1)]
    tasks = [asyncio.create_task(one.run(number, stores)) for number, one in enumerate(running, 1)]
    try:
        yield account
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for one in running:
            await one.close()
