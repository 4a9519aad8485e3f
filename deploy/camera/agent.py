"""From frames to sightings: who is in the frame, which track that is, and when a track is worth telling of.

Which times a track's sightings have, so that a visit is as long as the person was there:

- the first sighting has the track's first time, and up to K of its sharpest photos;
- a track that lasts longer than PIECE_MS is told of in pieces, as it goes on; each later piece has its *last* time;
- a track of one piece that lasted longer than WORTH_CLOSING_MS has a second sighting of its last time, with the same
  photos: they get the same answer as before, so that nobody becomes two people by leaving.

A sighting that is killed before it is in the spool is lost, and with it at most PIECE_MS of one person's stay; running
the agent on the same folder or video again makes the same sightings, with the same names and times.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from deploy.camera.sharpness import corners, crop, sharpness
from deploy.camera.source import Frame
from deploy.camera.track import Track, Tracker
from deploy.client.sightings import Shot, Sighting
from gateway.encoder import Box
from gateway.encoder.decode import Pixels

PHOTOS = 3
"""of each piece: the mean of three finds far more than one photo does (README, accuracy)"""
PIECE_MS = 30_000
WORTH_CLOSING_MS = 5000


@dataclass(frozen=True, slots=True)
class Best:
    """A photo and how sharp it is."""

    sharpness: float
    shot: Shot


@dataclass(slots=True)
class Piece:
    """What a track has to tell since it last told."""

    name: str
    number: int
    since_ms: int
    best: list[Best]
    """the sharpest first, at most PHOTOS"""


class Agent:
    """`find` gives the faces of a frame; `put` takes each finished sighting, and may block. One thread."""

    def __init__(
        self, store: str, camera: str, find: Callable[[Pixels], list[Box]], put: Callable[[Sighting], None]
    ) -> None:
        self._store = store
        self._camera = camera
        self._find = find
        self._put = put
        self._tracker = Tracker()
        self._pieces: dict[int, Piece] = {}
        self.frames = 0
        self.people = 0
        """tracks so far: one person may be several"""

    def see(self, frame: Frame) -> None:
        """The next frame. Raises what `put` raises."""
        self.frames += 1
        boxes = self._find(frame.pixels)
        step = self._tracker.update(frame.at_ms, boxes)
        for track in step.ended:
            self._end(track)
        for track in step.seen:
            others = [box for box in boxes if box is not track.box]
            self._look(track, frame, others)

    def end(self) -> None:
        """No more frames: tell of everybody who is still there."""
        for track in self._tracker.end():
            self._end(track)

    def _look(self, track: Track, frame: Frame, others: Sequence[Box]) -> None:
        piece = self._pieces.get(track.number)
        if piece is None:
            piece = self._pieces[track.number] = Piece(self._name(track, frame), 0, track.first_ms, [])
            self.people += 1
        sharp = sharpness(frame.pixels, track.box)
        if len(piece.best) < PHOTOS or sharp > piece.best[-1].sharpness:
            shot = Shot(crop(frame.pixels, track.box, others), frame.at_ms)
            piece.best = sorted([*piece.best, Best(sharp, shot)], key=lambda best: -best.sharpness)[:PHOTOS]
        if frame.at_ms - piece.since_ms >= PIECE_MS:
            self._tell(piece, track)
            self._pieces[track.number] = Piece(piece.name, piece.number + 1, frame.at_ms, [])

    def _end(self, track: Track) -> None:
        piece = self._pieces.pop(track.number)
        if not piece.best:
            return  # the last piece ended with the last frame
        self._tell(piece, track)
        if piece.number == 0 and track.last_ms - track.first_ms > WORTH_CLOSING_MS:
            self._put(self._sighting(piece, track.last_ms, piece.best, part=1))

    def _tell(self, piece: Piece, track: Track) -> None:
        at_ms = track.first_ms if piece.number == 0 else track.last_ms
        self._put(self._sighting(piece, at_ms, piece.best, part=0))

    def _sighting(self, piece: Piece, at_ms: int, best: Sequence[Best], part: int) -> Sighting:
        return Sighting(self._store, self._camera, piece.name, at_ms, tuple(each.shot for each in best), part)

    def _name(self, track: Track, first: Frame) -> str:
        """The same for the same face in the same frame, whenever the agent sees it; else never the same.

        By the face's pixels too: files unpacked together, or a burst of photos, have one time and often one place.
        """
        left, top, right, bottom = (max(0, corner) for corner in corners(track.box))
        told = f"{self._store}/{self._camera}/{track.first_ms}/{left},{top},{right},{bottom}/"
        return hashlib.sha256(told.encode() + first.pixels[top:bottom, left:right].tobytes()).hexdigest()[:32]
