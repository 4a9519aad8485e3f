"""What augmentation may do to a face, and that its seed decides it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy.train.made import NO_TORCH, faces

torch = pytest.importorskip("torch", reason=NO_TORCH)

from deploy.train.augment import as_input, augmented  # noqa: E402
from deploy.train.recipe import MEAN, STD  # noqa: E402

PIXELS = torch.from_numpy(faces(people=8, photos=4).stored)


def test_the_input_is_channels_first_and_scaled() -> None:
    found = as_input(PIXELS)
    assert found.shape == (32, 3, 32, 32)
    assert found[5, 1, 7, 9].item() == pytest.approx((float(PIXELS[5, 7, 9, 1]) - MEAN) / STD)


def test_the_seed_decides_and_every_face_changes_on_its_own() -> None:
    first, again, other = (augmented(PIXELS, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    same = augmented(PIXELS[:1].expand(2, -1, -1, -1), torch.Generator().manual_seed(1))
    assert not torch.allclose(same[0], same[1], atol=0.1)


def test_faces_stay_faces() -> None:
    """Within the range of pixels, and, flipped back where they were flipped, like the face they were."""
    changed, plain = augmented(PIXELS, torch.Generator().manual_seed(0)), as_input(PIXELS)
    assert changed.min() >= -MEAN / STD
    assert changed.max() <= (255 - MEAN) / STD

    def alike(one: Any, other: Any) -> Any:
        return torch.nn.functional.cosine_similarity(
            *(t.flatten(1) - t.flatten(1).mean(1)[:, None] for t in (one, other))
        )

    as_it_was, flipped = alike(changed, plain), alike(changed.flip(3), plain)
    assert torch.maximum(as_it_was, flipped).median() > 0.6
    assert 4 < int((flipped > as_it_was).sum()) < 28
