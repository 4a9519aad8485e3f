"""The training itself: epochs of batches, a validation and a checkpoint after each.

Everything random of an epoch is drawn from (seed, number of the epoch), and the learning rate is a function of the
step, so nothing else has to be kept: on a CPU with as many threads, a run that was killed and resumed ends with the
same weights, bit by bit, as one that was not. On a GPU some sums depend on the order in which its threads finish.

Gradient descent with momentum: AdamW learned slower on little data where it was tried (48 people, 80 epochs, one
rate each: the classifier's cross-entropy 2.9 against 2.0).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from common.errors import CannotTrain
from common.types import Vectors
from deploy.train.augment import as_input, augmented
from deploy.train.batches import batch_count, epoch
from deploy.train.checkpoint import Checkpoint, of_run, save
from deploy.train.faces import FaceSet
from deploy.train.history import Epoch, Losses
from deploy.train.inception_resnet import inception_resnet_v1
from deploy.train.losses import triplet_loss
from deploy.train.networks import Unit, mobilenet_v1
from deploy.train.recipe import Backbone, Machine, Recipe
from deploy.train.validation import validate

WARM_UP = 0.05
"""of all steps: the learning rate rises from 0"""
MOMENTUM, WEIGHT_DECAY = 0.9, 5e-4
SMOOTHING = 0.1
"""of the classifier's labels"""
AT_ONCE = 256
"""faces embedded in one go for validation"""


@dataclass(frozen=True, slots=True)
class Data:
    train: FaceSet
    validation: FaceSet


class Training:
    """A run in memory. `checkpoint`: where its state is kept; one that is there is gone on from."""

    def __init__(self, recipe: Recipe, data: Data, checkpoint: Path, machine: Machine) -> None:
        """Raises CannotTrain if the checkpoint is damaged, of another recipe, or of other photos."""
        self._recipe, self._data, self.path = recipe, data, checkpoint
        self.device = device_of(machine)
        torch.set_num_threads(machine.cpu_threads)
        self._people = torch.from_numpy(data.train.people).to(self.device)
        self.network = build(recipe).to(self.device, memory_format=torch.channels_last)
        self._classifier = nn.Linear(recipe.dimension, int(data.train.people.max()) + 1).to(self.device)
        self._parameters = [*self.network.parameters(), *self._classifier.parameters()]
        self._optimizer = torch.optim.SGD(
            self._parameters, lr=0.0, momentum=MOMENTUM, nesterov=True, weight_decay=WEIGHT_DECAY
        )
        self.history: list[Epoch] = []
        self._resume()

    @property
    def done(self) -> int:
        """Epochs."""
        return max(0, len(self.history) - 1)

    def run(self, report: Callable[[Epoch], object]) -> None:
        """Train the epochs that are missing; `report` hears of each once it is on disk."""
        torch.set_flush_denormal(True)  # vanishing gradients cost a CPU ten times the time otherwise
        try:
            self._run(report)
        finally:
            torch.set_flush_denormal(False)  # it holds for all that this thread computes

    def _run(self, report: Callable[[Epoch], object]) -> None:
        if not self.history:
            self._record(
                Epoch(0, None, validate(self.embed(self._data.validation), self._data.validation.people), 0.0), report
            )
        while self.done < self._recipe.epochs:
            number, begun = self.done + 1, time.monotonic()
            losses = self._train(number)
            found = validate(self.embed(self._data.validation), self._data.validation.people)
            self._record(Epoch(number, losses, found, time.monotonic() - begun), report)

    def embed(self, faces: FaceSet) -> Vectors:
        """(n, d) unit rows, as the network in service would give them."""
        network = Unit(self.network).eval()
        parts = []
        with torch.inference_mode():
            for first in range(0, len(faces.people), AT_ONCE):
                pixels = torch.from_numpy(faces.pixels(slice(first, first + AT_ONCE))).to(self.device)
                parts.append(network(as_input(pixels)).float().cpu().numpy())
        self.network.train()
        rows: Vectors = np.concatenate(parts)
        return rows

    def _train(self, number: int) -> Losses:
        torch.manual_seed(_seed(self._recipe.seed, number))  # dropout draws from the global generator
        random = torch.Generator().manual_seed(_seed(self._recipe.seed, number))
        order = np.random.default_rng((self._recipe.seed, number))
        step = (number - 1) * self._batches
        sums = np.zeros(3)
        for batch in epoch(self._data.train.people, self._recipe.people_each, self._recipe.photos_each, order):
            for group in self._optimizer.param_groups:
                group["lr"] = self._recipe.learning_rate * schedule(step / (self._batches * self._recipe.epochs))
            sums += self._step(batch, random)
            step += 1
        if not np.isfinite(sums).all():
            raise CannotTrain(
                f"The loss of epoch {number} is no number any more. Start anew with a lower learning rate than "
                f"{self._recipe.learning_rate:g}.",
                field="learning_rate",
            )
        triplet, active, classifier = sums / self._batches
        return Losses(float(triplet), float(active), float(classifier))

    @property
    def _batches(self) -> int:
        return batch_count(len(self._data.train.people), self._recipe.people_each, self._recipe.photos_each)

    def _step(self, batch: Any, random: torch.Generator) -> tuple[float, float, float]:
        faces = torch.from_numpy(self._data.train.pixels(batch)).to(self.device)
        people = self._people[torch.from_numpy(batch).to(self.device)]
        raw = self.network(augmented(faces, random).contiguous(memory_format=torch.channels_last))
        triplets = triplet_loss(nn.functional.normalize(raw, dim=1), people, self._recipe.margin)
        classified = nn.functional.cross_entropy(self._classifier(raw), people, label_smoothing=SMOOTHING)
        loss = triplets.loss + self._recipe.classifier * classified
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call, unused-ignore]  # torch does not say its type
        self._optimizer.step()
        return float(triplets.loss.detach()), triplets.active, float(classified.detach())

    def _record(self, found: Epoch, report: Callable[[Epoch], object]) -> None:
        self.history.append(found)
        momentum = {
            str(nth): self._optimizer.state[parameter]["momentum_buffer"]
            for nth, parameter in enumerate(self._parameters)
            if self._optimizer.state[parameter].get("momentum_buffer") is not None
        }
        states = self.network.state_dict(), self._classifier.state_dict(), momentum
        fingerprint = self._data.train.fingerprint
        save(self.path, Checkpoint(self._recipe.to_dict(), fingerprint, self.history, *states))
        report(found)

    def _resume(self) -> None:
        found = of_run(self.path, self._recipe)
        if found is None:
            return
        if found.fingerprint != self._data.train.fingerprint:
            raise CannotTrain(
                "The photos, or how they are detected, have changed since this run was started. Choose another folder "
                "for a new run.",
                field="photos",
            )
        try:
            self.network.load_state_dict(found.network)
            self._classifier.load_state_dict(found.classifier)
            for nth, momentum in found.momentum.items():
                parameter = self._parameters[int(nth)]
                self._optimizer.state[parameter]["momentum_buffer"] = momentum.view_as(parameter).to(self.device)
        except (RuntimeError, IndexError, ValueError):
            raise CannotTrain(
                f"{self.path} is not of this recipe's network. Choose another folder.", field="out"
            ) from None
        self.history = found.history


def build(recipe: Recipe) -> Any:
    """An untrained network, its weights drawn from the recipe's seed."""
    torch.manual_seed(recipe.seed)
    match recipe.backbone:
        case Backbone.MOBILENET_V1:
            return mobilenet_v1(recipe.dimension, recipe.width)
        case Backbone.INCEPTION_RESNET_V1:
            return inception_resnet_v1(recipe.dimension)


def schedule(part: float) -> float:
    """The learning rate after `part` of all steps, in parts of its highest: a linear rise, then half a cosine to 0."""
    if part < WARM_UP:
        return part / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (part - WARM_UP) / (1 - WARM_UP)))


def _seed(seed: int, number: int) -> int:
    """For torch, of an epoch: unlike those of all other epochs and seeds, as NumPy spreads them."""
    return int(np.random.SeedSequence((seed, number)).generate_state(1, np.uint64)[0] >> 1)


def device_of(machine: Machine) -> torch.device:
    """Raises CannotTrain if torch cannot compute on it here."""
    wanted = machine.device
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(wanted)
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch was built without CUDA
        why = str(error).partition("\n")[0].partition(". ")[0]
        raise CannotTrain(f"torch cannot use the device {wanted!r} ({why}).", field="device") from None
    return device
