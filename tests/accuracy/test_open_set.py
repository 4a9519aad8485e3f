"""FPIR at the default target on real people whom the curve has never seen; the whole evaluation is the module's."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from deploy.measure.open_set import Protocol
from tests.accuracy.open_set import EMBEDDINGS, measure, show


@pytest.mark.skipif(not EMBEDDINGS.is_file(), reason="the file of LFW embeddings is not beside the checkout")
def test_strangers_match_as_seldom_as_was_asked_and_the_tutorial_does_not_ask(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Few draws, so with slack around the 0.3% to 3% that the evaluation with all its draws keeps to."""
    protocols = [Protocol(1, 1, 60), Protocol(1, 1, 1500), Protocol(3, 2, 500)]
    found = list(measure(EMBEDDINGS, protocols, splits=1, draws=4))
    ours, tutorials = found[::2], found[1::2]
    assert {one.way for one in ours} == {"facegrid"}
    assert all(0.001 < one.fpir.mean < 0.04 for one in ours), [asdict(one) for one in ours]
    assert all(one.fpir.mean > 0.15 for one in tutorials)
    for one, tutorial in zip(ours, tutorials, strict=True):
        assert one.tpir_at_1.mean > tutorial.tpir_at_1.mean + 0.02
    show(found)
    assert "3/2, 500 faces:" in capsys.readouterr().out
