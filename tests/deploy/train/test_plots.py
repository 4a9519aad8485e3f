"""The picture of a run's curves."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from deploy.train.history import Epoch, Losses
from deploy.train.plots import curves
from deploy.train.validation import Validation


@pytest.mark.parametrize("epochs", [0, 1, 30])
def test_the_curves_are_drawn_from_the_untrained_network_on(epochs: int) -> None:
    history = [Epoch(0, None, Validation(0.5, {0.1: 0.2}, 95, 1283), 0.0)]
    for number in range(1, epochs + 1):
        part = number / 31
        losses = Losses(0.2 - 0.1 * part, 1 - part, 4 - 3 * part)
        history.append(Epoch(number, losses, Validation(0.5 + part / 3, {0.1: part}, 95, 1283), 1.0))
    with Image.open(io.BytesIO(curves(history, "made-v1"))) as picture:
        assert picture.format == "PNG"
        assert len(picture.convert("RGB").resize((200, 150)).getcolors(30_000) or []) > 50
