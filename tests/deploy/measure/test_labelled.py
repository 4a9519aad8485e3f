"""Every pair is counted once, and archives that are none are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from common.errors import InvalidRequest, NotFinite
from deploy.measure import labelled
from deploy.measure.labelled import STEP, Labelled, compare, read_npz, tail
from tests.deploy.measure.invented import people


def test_every_pair_is_counted_once_with_its_score(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labelled, "BLOCK", 7)  # several blocks, the last one not full
    some = people([3, 1, 4, 2, 1, 5])
    scores = some.rows.astype(np.float64) @ some.rows.T.astype(np.float64)
    one, other = np.triu_indices(len(some.rows), 1)
    same = some.persons[one] == some.persons[other]
    found = compare(some)
    assert found.pairs == int((~same).sum())
    assert np.allclose(np.sort(found.own), np.sort(scores[one, other][same]), atol=1e-6)
    assert np.bincount(found.own_person, minlength=6).tolist() == [3, 0, 6, 1, 0, 10]
    strangers = scores[one, other][~same]
    for threshold in (0.7, 0.8, 0.85):
        assert found.fmr(threshold) == pytest.approx(float((strangers >= threshold).mean()))
        assert found.fnmr(threshold) == pytest.approx(float((scores[one, other][same] < threshold).mean()))
    high = tail(some, 0.83)
    assert np.allclose(np.sort(high.scores), np.sort(strangers[strangers >= 0.83]), atol=1e-6)
    assert (high.one != high.other).all()


def test_the_threshold_of_a_rate_is_the_lowest_that_keeps_it() -> None:
    found = compare(people([2] * 60))
    for fmr in (0.1, 0.01, 0.003):
        score = found.score_at(fmr)
        assert found.fmr(score) <= fmr < found.fmr(score - STEP)


def test_people_keep_their_photos_when_some_are_left_out() -> None:
    some = people([2, 1, 3])
    fewer = some.only(np.array([0, 2]))
    assert fewer.people == 2
    assert [len(rows) for rows in fewer.photos_of] == [2, 3]
    assert np.array_equal(fewer.rows[fewer.photos_of[1]], some.rows[some.photos_of[2]])


def test_an_archive_is_read_whatever_the_labels_are(tmp_path: Path) -> None:
    path = tmp_path / "faces.npz"
    np.savez(path, embeddings=np.eye(4) * 3, person=np.array(["ada", "bob", "ada", "eve"]))
    read = read_npz(path)
    assert read.persons.tolist() == [0, 1, 0, 2]
    assert np.allclose(np.linalg.norm(read.rows, axis=1), 1)


def test_an_archive_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "faces.npz"
    path.write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(InvalidRequest, match=r"faces\.npz"):
        read_npz(path)
    np.savez(path, embeddings=np.eye(4))
    with pytest.raises(InvalidRequest, match="person"):
        read_npz(path)
    np.savez(path, embeddings=np.eye(2), person=np.array([{}, {}], dtype=object))
    with pytest.raises(InvalidRequest, match="plain arrays"):
        read_npz(path)


def test_embeddings_that_do_not_fit_their_labels_are_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"\(3,\)"):
        Labelled.of(np.eye(4), np.arange(3))
    with pytest.raises(NotFinite):
        Labelled.of(np.full((2, 4), np.nan), np.arange(2))


def test_an_empty_file_one_array_alone_and_words_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "faces.npz"
    path.write_bytes(b"")
    with pytest.raises(InvalidRequest, match="is no npz file"):
        read_npz(path)
    with path.open("wb") as file:
        np.save(file, np.eye(4))
    with pytest.raises(InvalidRequest, match="is no npz file"):
        read_npz(path)
    for other in (np.full((2, 4), "x"), np.eye(2, dtype=complex)):
        np.savez(path, embeddings=other, person=np.arange(2))
        with pytest.raises(InvalidRequest, match="not real numbers"):
            read_npz(path)
