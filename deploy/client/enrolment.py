"""Enrols people through a gateway: one request a person, a few at once; photos that are refused are left out.

What was refused, and why, is part of the result: nothing is dropped silently. A person who is at the store already is
skipped, so running the same command again continues where it stopped; no state is kept on this side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TypeVar

from deploy.client.http import Client, Problem, Upload
from deploy.client.photos import Person, Photo, Skipped

Task = TypeVar("Task")
Result = TypeVar("Result")

WORKERS = 4  # requests at once: keeps the encoders of a small machine busy without filling their queue
ABOUT_A_PHOTO = frozenset({400, 413, 422})
"""HTTP statuses"""
PERHAPS_A_PHOTO = frozenset({"ENCODER_WORKER_DIED", "DEADLINE_EXCEEDED"})
"""codes that a single bad photo, or too many at once, may cause"""
TOO_POOR = "POOR_QUALITY"


@dataclass(frozen=True, slots=True)
class Options:
    kind: str = "visitor"
    keep_thumbnails: bool = False
    workers: int = WORKERS
    accept_poor: bool = False
    """also what the gateway would refuse as POOR_QUALITY"""

    def form(self) -> dict[str, str]:
        flags = {"keep_thumbnail": self.keep_thumbnails, "accept_poor": self.accept_poor}
        return {"kind": self.kind} | {name: "true" for name, flag in flags.items() if flag}


@dataclass(slots=True)
class Outcome:
    """What became of one person."""

    face_id: str
    enrolled: int = 0
    """photos that are templates now"""
    created: bool = False
    present: bool = False
    """left alone, because the face is at the store already"""
    skipped: list[Skipped] = field(default_factory=list)
    poor: int = 0
    """of the skipped, those that `accept_poor` would have enrolled"""


def enrol_people(
    client: Client, store: str, people: Sequence[Person], options: Options, *, again: bool = False
) -> Iterator[Outcome]:
    """Enrol everybody, several at once; yields each person's outcome as it becomes known.

    `again`: also those who are at the store already (their photos are added). Raises GatewayAway, and Problem where
    the store itself is the trouble; who was enrolled before that stays enrolled.
    """
    present = set() if again else {face["face_id"] for face in client.faces(store)}
    yield from (Outcome(person.face_id, present=True) for person in people if person.face_id in present)
    wanted = [person for person in people if person.face_id not in present]
    yield from in_parallel(lambda person: enrol_person(client, store, person, options), wanted, options.workers)


def in_parallel(work: Callable[[Task], Result], tasks: Iterable[Task], workers: int = WORKERS) -> Iterator[Result]:
    """The results in the order in which they come; after the first exception nothing more is begun."""
    with ThreadPoolExecutor(workers) as pool:
        futures: list[Future[Result]] = [pool.submit(work, task) for task in tasks]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            for future in futures:
                future.cancel()


def enrol_person(client: Client, store: str, person: Person, options: Options) -> Outcome:
    """One request with all photos; photos that are refused are left out and the rest sent again.

    Raises GatewayAway, and Problem where no photo is to blame.
    """
    outcome = Outcome(person.face_id)
    batches = [_read(person.photos, outcome)]
    while batches:
        batch = batches.pop()
        if not batch:
            continue
        try:
            body = client.enrol(store, person.face_id, batch, options.form())
        except Problem as problem:
            batches += _without_the_culprits(batch, problem, outcome)
        else:
            outcome.enrolled += len(batch)
            outcome.created |= body["new"]
    return outcome


def _without_the_culprits(batch: list[Upload], problem: Problem, outcome: Outcome) -> list[list[Upload]]:
    """What to send instead: the batch without the photos that the problem names, or else each photo by itself."""
    if problem.status not in ABOUT_A_PHOTO and problem.code not in PERHAPS_A_PHOTO:
        raise problem
    named = {at: one for one in problem.refused or [problem] if (at := one.photo) is not None}
    if not named and len(batch) > 1:
        return [[photo] for photo in reversed(batch)]
    culprits = named or {0: problem}
    if max(culprits) >= len(batch):
        raise problem
    for at, why in sorted(culprits.items()):
        detail = why.detail.replace(why.field, "the photo") if named else why.detail
        outcome.skipped.append(Skipped(batch[at].name, f"{detail} [{why.code}]"))
        outcome.poor += why.code == TOO_POOR
    return [[photo for at, photo in enumerate(batch) if at not in culprits]]


def _read(photos: Sequence[Photo], outcome: Outcome) -> list[Upload]:
    uploads: list[Upload] = []
    for photo in photos:
        try:
            uploads.append(as_upload(photo))
        except OSError as error:
            outcome.skipped.append(Skipped(photo.name, f"cannot be read: {error.strerror}"))
    return uploads


def as_upload(photo: Photo) -> Upload:
    """Raises OSError for a file that cannot be read."""
    name = PurePath(photo.name).name.encode(errors="replace").decode()  # a file name need not be text
    return Upload(name, photo.read())
