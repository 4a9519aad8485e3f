"""The faces of the photos, cut out once and kept in the run's folder while it trains.

They are found and cut out by the gateway's own detector and alignment, so a network is trained on what it will be
shown. Of a photo with several faces the largest counts.

    faces/fingerprint   which photos, detector and alignment these are; another one: all is cut anew
    faces/pixels.npy    uint8 (photos, size, size, 3), mapped into memory: a large set need not fit there
    faces/states.npy    uint8 (photos,), one State each, written after the pixels: a killed run goes on where it was

Cut-out faces are biometric data: the folder is readable by its owner alone (0700, files 0600), and removed when the run
is finished unless it is to be kept.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from common.errors import CannotTrain, InvalidImage
from common.settings import EncoderSettings
from deploy.train.photos import Collection
from deploy.train.private import make_folder, write
from deploy.train.recipe import Alignment, Recipe
from gateway.encoder.decode import Pixels, decode
from gateway.encoder.dlib_chips import ChipCutter
from gateway.encoder.loading import load
from gateway.encoder.manifest import Models, read_models
from gateway.encoder.onnx_embedder import BoxCutter
from gateway.encoder.steps import Detector

Ints: TypeAlias = npt.NDArray[np.int64]


class State(IntEnum):
    WAITING = 0
    CUT = 1
    NO_FACE = 2
    UNREADABLE = 3


@dataclass(frozen=True, eq=False)
class FaceSet:
    """n faces of known people, read from where they are stored when they are asked for."""

    stored: Pixels
    """(photos, size, size, 3) RGB"""
    rows: Ints
    """(n,): which of them"""
    people: Ints
    """(n,) 0 … people - 1, rising"""
    fingerprint: str

    def pixels(self, at: Ints | slice) -> Pixels:
        """(m, size, size, 3): a copy of the faces at these indices."""
        return np.ascontiguousarray(self.stored[self.rows[at]])

    def only(self, wanted: Ints) -> FaceSet:
        """The faces at these indices (rising), with people numbered anew."""
        numbered = np.unique(self.people[wanted], return_inverse=True)[1]
        return FaceSet(self.stored, self.rows[wanted], numbered, self.fingerprint)


@dataclass(frozen=True, slots=True)
class Cut:
    faces: FaceSet
    without_face: int
    unreadable: int


def cut_faces(
    photos: Collection, folder: Path, recipe: Recipe, settings: EncoderSettings, done: Callable[[], object]
) -> Cut:
    """Cut out what is not cut yet, in as many processes as the settings have encoders; `done` is called for each photo.

    Raises EncoderMissing or InvalidManifest where there is no detector, CannotTrain if a process is killed.
    """
    detection = settings.model_dump(include={"detector", "detection"})
    fingerprint = photos.fingerprint(recipe.alignment, recipe.box_margin, recipe.size, detection)
    pixels, states = opened(folder, fingerprint, len(photos.photos), recipe.size)
    for _ in np.flatnonzero(states):
        done()
    waiting = [int(at) for at in np.flatnonzero(states == State.WAITING)]
    jobs = [Job(photos.photos[at].path, recipe, settings) for at in waiting]
    for at, found in zip(waiting, _in_processes(jobs, settings.encoder_workers), strict=True):
        if not isinstance(found, State):
            pixels[at] = found
        states[at] = found if isinstance(found, State) else State.CUT
        done()
    kept = np.flatnonzero(states == State.CUT)
    names = np.array([photo.person for photo in photos.photos])[kept]
    numbered = np.unique(names, return_inverse=True)[1].astype(np.int64)
    faces = FaceSet(pixels, kept, numbered, fingerprint)
    return Cut(faces, int((states == State.NO_FACE).sum()), int((states == State.UNREADABLE).sum()))


def opened(folder: Path, fingerprint: str, count: int, size: int) -> tuple[Pixels, Pixels]:
    """The pixels and states of a folder, as they were left, or new where it has none of this fingerprint."""
    name, pixels, states = folder / "fingerprint", folder / "pixels.npy", folder / "states.npy"
    if not name.is_file() or name.read_text() != fingerprint:
        shutil.rmtree(folder, ignore_errors=True)
        make_folder(folder)
        for path, shape in ((pixels, (count, size, size, 3)), (states, (count,))):
            write(path, b"")  # with its rights, before there is anything in it
            np.lib.format.open_memmap(path, "w+", np.uint8, shape).flush()
            _take_room(path)
        write(name, fingerprint.encode())
    return np.lib.format.open_memmap(pixels, "r+"), np.lib.format.open_memmap(states, "r+")


def _take_room(path: Path) -> None:
    """So that a full disk is an error now, with a name, not a signal when the pixels come."""
    with path.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


@dataclass(frozen=True, slots=True)
class Job:
    path: Path
    recipe: Recipe
    settings: EncoderSettings


AHEAD = 256
"""photos given to the processes at once"""


def _in_processes(jobs: Sequence[Job], workers: int) -> Iterator[Pixels | State]:
    """In the order of the jobs. Spawned, not forked: this process may have torch's threads."""
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(max(1, min(workers, len(jobs))), mp_context=context) as pool:
            for first in range(0, len(jobs), AHEAD):
                yield from pool.map(cut, jobs[first : first + AHEAD])
    except BrokenProcessPool:
        detail = "A process that cuts out faces was killed, perhaps for memory; the same command goes on after it."
        raise CannotTrain(detail, field="photos") from None


def cut(job: Job) -> Pixels | State:
    """(size, size, 3) of the largest face of a photo, or why there is none; in whatever process it is called."""
    detector, cutter = _detector(job.settings), _cutter(job.recipe)
    try:
        pixels = decode(job.path.read_bytes(), job.settings)
    except (InvalidImage, OSError):
        return State.UNREADABLE
    faces = detector.locate(pixels)
    if not faces:
        return State.NO_FACE
    largest = max(faces, key=lambda face: face.area[2] - face.area[0])
    picture: Pixels = cutter.cut(pixels, [largest], job.recipe.size)[0]
    return picture


@cache
def _cutter(recipe: Recipe) -> BoxCutter | ChipCutter:
    """What cuts out faces for a manifest of this alignment."""
    match recipe.alignment:
        case Alignment.DLIB:
            return ChipCutter()
        case Alignment.BOX:
            return BoxCutter(recipe.box_margin)


@cache
def _detector(settings: EncoderSettings) -> Detector:
    """Loaded once a process."""
    found = read_models(settings.models)
    return load(settings, Models({}, found.detectors)).detector
