"""What training makes small: the triplet loss of FaceNet, with its semi-hard triplets mined in the batch.

Distances are squared Euclidean distances of unit rows, 0 to 4, as in the paper. Mining is a function of distances and
labels alone, so that a test can compare it with a plain loop.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Triplets(NamedTuple):
    """Three index vectors (m,) into the batch: every ordered pair of two photos of one person, and a negative each."""

    anchors: Tensor
    positives: Tensor
    negatives: Tensor


class TripletLoss(NamedTuple):
    loss: Tensor
    """mean over the active triplets; 0 where none is active"""
    active: float
    """part of the triplets that still violate the margin, 0 to 1"""


def squared_distances(embeddings: Tensor) -> Tensor:
    """(n, d) unit rows → (n, n): 2 - 2 cos, never below 0."""
    return (2 - 2 * embeddings @ embeddings.T).clamp(min=0)


def semi_hard(distances: Tensor, people: Tensor) -> Triplets:
    """Of each pair anchor, positive: the nearest stranger that is farther from the anchor than the positive.

    distances (n, n), people (n,) integers, at least two different. Within the margin that is FaceNet's hardest
    semi-hard negative; beyond it the triplet has no loss. Where every stranger is nearer than the positive, the
    farthest of them: the hardest would pull all embeddings to one point early on (section 3.2 of the paper).
    """
    same = people[:, None] == people[None, :]
    alone = torch.eye(len(people), dtype=torch.bool, device=people.device)
    anchors, positives = torch.where(same & ~alone)
    apart, strangers = distances[anchors], ~same[anchors]
    beyond = strangers & (apart > distances[anchors, positives][:, None])
    nearest = torch.where(beyond, apart, torch.inf).argmin(dim=1)
    farthest = torch.where(strangers, apart, -torch.inf).argmax(dim=1)
    return Triplets(anchors, positives, torch.where(beyond.any(dim=1), nearest, farthest))


def triplet_loss(embeddings: Tensor, people: Tensor, margin: float) -> TripletLoss:
    """max(0, d(anchor, positive) - d(anchor, negative) + margin) over the semi-hard triplets of a batch.

    The mean is taken over those above 0: over all of them, the gradient would fade as triplets are learned.
    """
    distances = squared_distances(embeddings)
    anchors, positives, negatives = semi_hard(distances.detach(), people)
    violations = (distances[anchors, positives] - distances[anchors, negatives] + margin).clamp(min=0)
    active = int((violations > 0).sum())
    return TripletLoss(violations.sum() / max(active, 1), active / max(len(violations), 1))
