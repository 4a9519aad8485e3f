"""Cutting faces out, against scikit-image's own similarity and warp."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import skimage.transform

from common.errors import InvalidImage
from gateway.encoder.alignment import ARCFACE, Similarity, cut_out, fit, of_box, of_five_points
from tests.gateway.encoder_photos import portrait

POINTS = np.array([[113.3, 101.5], [156.5, 103.7], [135.0, 127.0], [111.0, 139.0], [155.0, 141.0]])
warp: Any = skimage.transform.warp
affine: Any = skimage.transform.AffineTransform
PIXELS = np.asarray(portrait())


def test_the_similarity_is_the_one_of_umeyama() -> None:
    ours = fit(POINTS, ARCFACE)
    matrix: Any = skimage.transform.SimilarityTransform.from_estimate(POINTS, ARCFACE)
    assert matrix.params[0, 0] == pytest.approx(ours.turn.real)
    assert matrix.params[1, 0] == pytest.approx(ours.turn.imag)
    assert tuple(matrix.params[:2, 2]) == pytest.approx((ours.shift.real, ours.shift.imag))


def test_a_mirrored_face_is_not_turned_over() -> None:
    """Umeyama's condition of a positive determinant: points of a mirrored face are laid as well as turning can."""
    mirrored = POINTS * (-1, 1)
    matrix: Any = skimage.transform.SimilarityTransform.from_estimate(mirrored, ARCFACE)
    assert matrix.params[0, 0] == pytest.approx(fit(mirrored, ARCFACE).turn.real)


def test_points_that_fall_together_are_no_face() -> None:
    with pytest.raises(InvalidImage, match="fall together"):
        fit(np.ones((5, 2)), ARCFACE)
    with pytest.raises(InvalidImage, match="fall together"):
        of_five_points(np.ones((5, 2)), ARCFACE, 112, 112)


@pytest.mark.parametrize("size", [112, 224])
def test_a_face_is_cut_out_as_by_a_plain_bilinear_warp(size: int) -> None:
    where = of_five_points(POINTS, ARCFACE, 112, size)
    matrix = np.array(
        [
            [where.turn.real, -where.turn.imag, where.shift.real],
            [where.turn.imag, where.turn.real, where.shift.imag],
            [0, 0, 1],
        ]
    )
    expected = warp(PIXELS, affine(matrix), output_shape=(size, size), order=1) * 255
    assert np.abs(cut_out(PIXELS, size, where).astype(float) - expected).max() <= 1.5


def test_a_box_that_is_a_part_of_the_photo_is_cut_out_exactly() -> None:
    picture = cut_out(PIXELS, 100, of_box((80, 60, 179, 159), 0.0, 100))
    assert np.array_equal(picture, PIXELS[60:160, 80:180])


def test_the_margin_of_a_box_is_shared_by_its_sides() -> None:
    picture = cut_out(PIXELS, 120, of_box((80, 60, 179, 159), 0.2, 120))
    assert np.array_equal(picture, PIXELS[50:170, 70:190])


def test_what_lies_beyond_the_photo_is_black() -> None:
    picture = cut_out(PIXELS, 100, of_box((-50, -50, 49, 49), 0.0, 100))
    assert np.array_equal(picture[50:, 50:], PIXELS[:50, :50])
    assert not picture[:49].any()
    assert not picture[:, :49].any()
    assert not cut_out(PIXELS, 100, of_box((5000, 5000, 5099, 5099), 0.0, 100)).any()


def test_a_large_face_is_averaged_and_not_picked_from() -> None:
    """Of a fine chequerboard, bilinear sampling alone would take black or white pixels by chance."""
    board = np.kron(np.indices((400, 400)).sum(axis=0) % 2, np.ones((2, 2)))
    pixels = np.repeat((board * 255).astype(np.uint8)[..., None], 3, axis=2)
    picture = cut_out(pixels, 100, of_box((0, 0, 799, 799), 0.0, 100))
    assert np.abs(picture[5:-5, 5:-5].astype(float) - 127.5).max() < 2


def test_a_face_turned_by_a_quarter_is_put_upright() -> None:
    where = Similarity(1j, complex(179, 60))  # the picture's right is the photo's down
    assert np.array_equal(cut_out(PIXELS, 100, where), np.rot90(PIXELS[60:160, 80:180]))
