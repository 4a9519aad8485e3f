"""What is known of each epoch: the losses of its batches, and how the held-out people are told apart after it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from deploy.train.validation import Validation


@dataclass(frozen=True, slots=True)
class Losses:
    """Means over the batches of an epoch."""

    triplet: float
    active: float
    """part of the triplets that violate the margin, 0 to 1"""
    classifier: float
    """cross-entropy, nats"""


@dataclass(frozen=True, slots=True)
class Epoch:
    number: int
    """0: before any training, without losses"""
    losses: Losses | None
    validation: Validation
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, read: dict[str, Any]) -> Epoch:
        """From JSON, which knows no numbers as keys. Raises KeyError, TypeError or ValueError for anything else."""
        found = dict(read["validation"])
        tar = {float(far): float(part) for far, part in found.pop("tar").items()}
        losses = None if read["losses"] is None else Losses(**read["losses"])
        return cls(int(read["number"]), losses, Validation(tar=tar, **found), float(read["seconds"]))
