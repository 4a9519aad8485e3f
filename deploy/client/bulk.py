"""Sends faces in bulk, several requests at a time, and reads all faces of a store again.

Sending is safe to repeat: a face that has all of it already is left alone. So nothing is remembered on this side.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TypeVar

from deploy.client.face_files import Package
from deploy.client.http import Client, ClientError, Problem

Task = TypeVar("Task")
Result = TypeVar("Result")

IN_FLIGHT = 4
"""requests at once: more only wait for each other in Redis"""


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one package."""

    rows: int
    faces: int
    created: int
    updated: int
    visible: bool


def send_all(
    client: Client, parcels: Iterable[Package], stores: Collection[str], *, create_stores: bool
) -> Iterator[Sent]:
    """Send them, and say of each what became of it, in the order in which that is known. `stores`: those there are.

    Raises ClientError naming the row, and GatewayAway; what was sent before stays.
    """
    known = set(stores)

    def checked() -> Iterator[Package]:
        for package in parcels:
            if package.store not in known:
                if not create_stores:
                    raise ClientError(f"Store {package.store} does not exist; --create-stores creates what is missing.")
                client.put_store(package.store)
                known.add(package.store)
            yield package

    yield from few_at_once(lambda package: send(client, package), checked(), IN_FLIGHT)


def send(client: Client, package: Package) -> Sent:
    """One request. Raises ClientError that names the place in the file."""
    try:
        body = client.enrol_many(package.store, package.body, package.media_type)
    except Problem as problem:
        if problem.place is None:
            raise
        word, at = problem.place
        detail = problem.detail.removeprefix(f"{word.capitalize()} {at}: ")
        # A line is counted from 1 within the request, a row from 0.
        place = package.places[at - 1 if word == "line" else at]
        raise ClientError(f"{word.capitalize()} {place}: {detail} [{problem.code}]") from problem
    return Sent(len(package.places), body["faces"], body["created"], body["updated"], body["visible"])


def few_at_once(work: Callable[[Task], Result], tasks: Iterable[Task], most: int) -> Iterator[Result]:
    """The results as they come. A task is taken only when one of the `most` is free for it. After the first
    ClientError, of a task's work or in place of a task, nothing more is begun; what was gives its results first."""
    left = iter(tasks)
    failed: ClientError | None = None
    running: set[Future[Result]] = set()
    with ThreadPoolExecutor(most) as pool:
        while True:
            try:
                while failed is None and len(running) < most and (task := next(left, None)) is not None:
                    running.add(pool.submit(work, task))
            except ClientError as error:
                failed = error
            if not running:
                break
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                try:
                    yield future.result()
                except ClientError as error:
                    failed = failed or error
    if failed is not None:
        raise failed


def exported(client: Client, store: str) -> Iterator[list[bytes]]:
    """The lines of all faces of the store, page by page, each face once."""
    cursor: str | None = "0"
    seen: set[bytes] = set()
    while cursor is not None:
        page, cursor = client.export_page(store, cursor)
        # A face may come twice (it changes, Redis is started again); the name is the first thing in a line.
        fresh = {line[: line.index(b",")]: line for line in page.splitlines()}
        yield [line for name, line in fresh.items() if name not in seen]
        seen |= fresh.keys()
