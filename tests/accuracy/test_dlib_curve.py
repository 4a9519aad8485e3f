"""The curve that Facegrid comes with is what its own measurement gives."""

from __future__ import annotations

import pytest

from gateway.fmr import FmrCurve
from tests.accuracy.dlib_curve import SHIPPED, fit
from tests.accuracy.open_set import EMBEDDINGS


@pytest.mark.skipif(not EMBEDDINGS.is_file(), reason="the file of LFW embeddings is not beside the checkout")
def test_the_shipped_figures_are_those_of_a_new_fit() -> None:
    """To a step of the score: the order of float32 sums is the processor's."""
    shipped, again = FmrCurve.from_json(SHIPPED.read_text()), fit(EMBEDDINGS).curve
    assert (again.pairs, again.people, again.source) == (shipped.pairs, shipped.people, shipped.source)
    assert again.same_person == pytest.approx(shipped.same_person, abs=1e-4)
    assert [p.fmr for p in again.points] == pytest.approx([p.fmr for p in shipped.points], rel=1e-3)
    assert [p.score for p in again.points] == pytest.approx([p.score for p in shipped.points], abs=3e-5)
    assert [p.exponent for p in again.points] == pytest.approx([p.exponent for p in shipped.points], abs=0.005)
