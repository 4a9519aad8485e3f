"""The pairs protocol: files read as LFW writes them, figures by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from common.errors import InvalidRequest
from deploy.measure.lfw_pairs import best_threshold, judge, photo_of, read_pairs


def written(folder: Path, text: str) -> Path:
    path = folder / "pairs.txt"
    path.write_text(text)
    return path


def test_a_file_of_lfw_is_read_fold_by_fold(tmp_path: Path) -> None:
    fold = "Ada\t1\t4\nBob_B\t2\t3\nAda\t1\tBob_B\t1\nBob_B\t2\tEve\t10\n"
    pairs = read_pairs(written(tmp_path, "\ufeff2\t2\n" + fold + fold))  # as Windows marks a text
    assert [pair.fold for pair in pairs] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert [pair.same for pair in pairs[:4]] == [True, True, False, False]
    assert pairs[3].other == ("Eve", 10)
    assert pairs[4].line == 6


def test_without_a_head_each_kind_takes_turns_over_the_folds(tmp_path: Path) -> None:
    text = "".join(f"Ada 1 {n}\n\nAda {n} Bob 1\n" for n in range(2, 14))
    pairs = read_pairs(written(tmp_path, text))
    assert [pair.fold for pair in pairs if pair.same] == [*range(10), 0, 1]
    assert [pair.fold for pair in pairs if not pair.same] == [*range(10), 0, 1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Ada 1 2\nAda one Bob 2\n", r"pairs\.txt:2: "),
        ("Ada 1 2\nAda 1 Ada 2\n", r"pairs\.txt:2: "),
        ("10\t300\nAda 1 2\nAda 1 Bob 2\n", "announces 6000 pairs; there are 2"),
        ("Ada 1 2\nAda 1 3\n", "pairs of two"),
        ("Ada 1 2\nAda 1 Bob 3\n", "one fold"),
        ("", "needs pairs"),
    ],
)
def test_a_file_that_is_none_is_refused_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        read_pairs(written(tmp_path, text))


def test_a_photo_that_is_missing_is_named_with_the_line_that_wants_it(tmp_path: Path) -> None:
    (tmp_path / "Ada").mkdir()
    (tmp_path / "Ada" / "Ada_0002.png").touch()
    assert photo_of(tmp_path, Path("pairs.txt"), 7, ("Ada", 2)).name == "Ada_0002.png"
    with pytest.raises(InvalidRequest, match=r"pairs\.txt:7: there is no photo Ada/Ada_0003\.jpg"):
        photo_of(tmp_path, Path("pairs.txt"), 7, ("Ada", 3))


def test_the_threshold_of_a_fold_comes_from_the_other_folds() -> None:
    """Fold 1 could be told apart perfectly at 0.2; the others say 0.5, and so one of its two pairs is wrong."""
    scores = np.array([0.6, 0.4, 0.6, 0.4, 0.3, 0.1])
    same, folds = np.array([True, False] * 3), np.array([0, 0, 2, 2, 1, 1])
    judged = judge(scores, same, folds)
    assert judged.accuracy == pytest.approx((1 + 1 + 0.5) / 3, abs=0.34)
    assert best_threshold(scores[folds != 1], same[folds != 1]) == pytest.approx(0.5)
    assert judged.auc == pytest.approx(7 / 9)


def test_pairs_told_apart_perfectly_get_perfect_figures() -> None:
    scores = np.concatenate([np.linspace(0.8, 0.9, 200), np.linspace(0.1, 0.7, 200)])
    same, folds = np.repeat([True, False], 200), np.tile(np.arange(10), 40)
    judged = judge(scores, same, folds)
    assert (judged.accuracy, judged.standard_error, judged.auc, judged.eer) == (1, 0, 1, 0)
    assert [one.part for one in judged.accepted] == [1, 1]
    assert [one.false_accepts for one in judged.accepted] == [2, 0]
    assert 0.7 < judged.threshold < 0.8


def test_figures_of_scores_that_overlap() -> None:
    chance = np.random.default_rng(0)
    scores = np.concatenate([chance.normal(1, 1, 3000), chance.normal(-1, 1, 3000)])
    judged = judge(scores, np.repeat([True, False], 3000), np.tile(np.arange(10), 600))
    assert judged.accuracy == pytest.approx(0.8413, abs=0.02)  # of two normals, two deviations apart
    assert judged.eer == pytest.approx(0.1587, abs=0.02)
    assert judged.auc == pytest.approx(0.9214, abs=0.02)
    assert judged.accepted[0].part == pytest.approx(0.372, abs=0.06)
    assert judged.accepted[0].interval.low < judged.accepted[0].part < judged.accepted[0].interval.high
    assert judged.accepted[0].false_accepts == 30
