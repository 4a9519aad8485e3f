"""Faces that are none, small enough to train on in a second: of each person a pattern of its own, differently lit."""

from __future__ import annotations

import numpy as np
from PIL import Image

from deploy.train.faces import FaceSet
from deploy.train.recipe import Recipe

SIZE = 32
RECIPE = Recipe(
    "made-v1", width=0.125, dimension=16, size=SIZE, epochs=4, people_each=4, photos_each=3, learning_rate=0.05
)
NO_TORCH = "PyTorch is not installed: .venv/bin/pip install torch"


def faces(people: int, photos: int, seed: int = 0) -> FaceSet:
    """`photos` pictures of each of `people` patterns."""
    random = np.random.default_rng(seed)
    pictures = []
    for _ in range(people):
        coarse = Image.fromarray(random.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        pattern = np.asarray(coarse.resize((SIZE, SIZE), Image.Resampling.BICUBIC), dtype=np.float64)
        noise = random.normal(0, 25, (photos, SIZE, SIZE, 3))
        pictures.append(np.clip(pattern * random.uniform(0.7, 1.2, (photos, 1, 1, 1)) + noise, 0, 255))
    stored = np.concatenate(pictures).astype(np.uint8)
    return FaceSet(stored, np.arange(len(stored)), np.repeat(np.arange(people), photos), f"made {seed}")
