"""What a training run is made by: every choice that decides its outcome. Kept in the run; a resumed run must agree."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from common.errors import CannotTrain
from common.types import DLIB_SPACE

MEAN, STD = 127.5, 128.0
"""of a pixel 0 to 255, as the network wants it; written into the manifest"""
INSTALL = "Training needs PyTorch: .venv/bin/pip install torch. Serving does not."


class Backbone(StrEnum):
    MOBILENET_V1 = "mobilenet-v1"
    INCEPTION_RESNET_V1 = "inception-resnet-v1"


LEAST_SIZE = {Backbone.MOBILENET_V1: 32, Backbone.INCEPTION_RESNET_V1: 80}
"""pixels; the second does not pad"""


class Alignment(StrEnum):
    """How a face is cut out, in training and in service: as dlib does it (eyes level), or by its box and a margin."""

    DLIB = "dlib"
    BOX = "box"


@dataclass(frozen=True, slots=True)
class Recipe:
    """The defaults are for a few thousand photos on a CPU."""

    space: str
    """name of the embedding space that this run makes"""
    backbone: Backbone = Backbone.MOBILENET_V1
    width: float = 0.5
    """of MobileNetV1: channels, in parts of the paper's"""
    dimension: int = 128
    size: int = 96
    """side of a face in pixels"""
    alignment: Alignment = Alignment.DLIB
    box_margin: float = 0.2
    """around the detector's box, in parts of its side; of the alignment `box`"""
    hold_out: float = 0.2
    """part of the people that are never trained on: they validate"""
    epochs: int = 240
    people_each: int = 12
    """P: people in a batch"""
    photos_each: int = 4
    """K: photos of each of them"""
    margin: float = 0.2
    """of the triplet loss, in squared distances of unit rows"""
    classifier: float = 1.0
    """weight of the cross-entropy beside the triplet loss; 0: triplets alone"""
    learning_rate: float = 0.1
    """highest, of a schedule that rises from 0 and falls to 0"""
    seed: int = 0

    def check(self) -> None:
        """Raise CannotTrain if a network of this backbone cannot take faces of this size."""
        least = LEAST_SIZE[self.backbone]
        if self.size < least:
            raise CannotTrain(f"{self.backbone} needs faces of {least} pixels or more.", field="size", limit=least)

    def to_dict(self) -> dict[str, Any]:
        return {name: str(value) if isinstance(value, StrEnum) else value for name, value in asdict(self).items()}

    def check_same(self, other: dict[str, Any]) -> None:
        """Raise CannotTrain naming the first choice that is not as in `other`, the recipe of an earlier run."""
        for name, value in self.to_dict().items():
            if other.get(name) != value:
                raise CannotTrain(
                    f"The run was started with {name} {other.get(name)}, not {value}; a new one needs another folder.",
                    field=name,
                    limit=other.get(name),
                )


@dataclass(frozen=True, slots=True)
class Machine:
    """What a run is computed on; it may be resumed on another."""

    device: str = "auto"
    """cpu, cuda, cuda:1, …; auto: a GPU where there is one"""
    threads: int = 0
    """of the CPU; 0: half of the cores. torch's threads spin while they wait for each other, so what else runs on their
    cores holds up all of them (two cores, some load: an epoch took 0.8 s with one thread, 3.8 to 9.6 s with two)."""

    @property
    def cpu_threads(self) -> int:
        return self.threads or max(1, (os.cpu_count() or 1) // 2)


def check_space(space: str) -> None:
    if space == DLIB_SPACE:
        raise CannotTrain(f"{DLIB_SPACE} is dlib's own space; give yours another name.", field="space")


def check_torch() -> None:
    """Raise CannotTrain, saying how to install it, where torch is absent."""
    if importlib.util.find_spec("torch") is None:
        raise CannotTrain(INSTALL, field="torch")
