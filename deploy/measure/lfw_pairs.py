"""The pairs protocol of Labeled Faces in the Wild (Huang et al., UMass TR 07-49): is each pair one person, yes or no?

A pairs file has one pair a line, fields apart by tabs or spaces:

    10  300                          optional head: folds, and pairs of each kind in a fold (or that number alone)
    Abel_Pacheco  1  4               one person: photos 1 and 4
    Abdel_Madi    1  Dean_Barker  1  two people

Under the head, each fold lists its pairs of one person first. Without one the pairs of each kind take turns over FOLDS.

**Accuracy.** For each fold, the threshold with the highest accuracy on all *other* folds decides; given are the mean
over the folds and its standard error. Nothing is fitted on the pairs that are judged.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from common.errors import InvalidRequest
from deploy.client.photos import EXTENSIONS
from deploy.measure.biometrics import Interval, wilson
from deploy.measure.labelled import Floats

FOLDS = 10
TARGETS = (1e-2, 1e-3)
"""FARs at which the part of true accepts is given"""


@dataclass(frozen=True, slots=True)
class Pair:
    line: int
    one: tuple[str, int]
    """person, number of the photo"""
    other: tuple[str, int]
    fold: int

    @property
    def same(self) -> bool:
        return self.one[0] == self.other[0]


def read_pairs(path: Path) -> list[Pair]:
    """Raises InvalidRequest naming the line that is no pair, or where there are no pairs of both kinds."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise InvalidRequest(f"{path} is no text.", field="pairs") from None
    rows = [(number, fields) for number, line in enumerate(lines, start=1) if (fields := _fields(line))]
    head = [int(field) for field in rows[0][1]] if rows and all(map(str.isdecimal, rows[0][1])) else []
    pairs = list(_in_folds([_pair(path, number, fields) for number, fields in rows[bool(head) :]], head))
    if {pair.same for pair in pairs} != {True, False}:
        raise InvalidRequest(f"{path} needs pairs of one person and pairs of two.", field="pairs")
    if len({pair.fold for pair in pairs}) < 2:
        raise InvalidRequest(f"{path} has one fold; a threshold for it needs another.", field="pairs", limit=2)
    return pairs


def _fields(line: str) -> list[str]:
    return [field.strip() for field in line.split("\t")] if "\t" in line.strip() else line.split()


def _pair(path: Path, number: int, fields: list[str]) -> Pair:
    match fields:
        case [who, one, other] if one.isdecimal() and other.isdecimal():
            return Pair(number, (who, int(one)), (who, int(other)), 0)
        case [who, one, else_who, other] if one.isdecimal() and other.isdecimal() and who != else_who:
            return Pair(number, (who, int(one)), (else_who, int(other)), 0)
    detail = f"{path}:{number}: a pair is `name n1 n2`, or `name1 n1 name2 n2` of two people."
    raise InvalidRequest(detail, field="pairs")


def _in_folds(pairs: Sequence[Pair], head: Sequence[int]) -> Iterator[Pair]:
    """By the head: folds of so many pairs of each kind. Otherwise each kind deals its pairs to the folds in turn."""
    match head:
        case [folds, each] if len(pairs) == 2 * folds * each:
            for at, pair in enumerate(pairs):
                yield Pair(pair.line, pair.one, pair.other, at // (2 * each))
        case [] | [_]:
            for kind in (True, False):
                for at, pair in enumerate(pair for pair in pairs if pair.same is kind):
                    yield Pair(pair.line, pair.one, pair.other, at % FOLDS)
        case _:
            expected = 2 * math.prod(head)
            raise InvalidRequest(
                f"The head announces {expected} pairs; there are {len(pairs)}.", field="pairs", limit=expected
            )


def photo_of(folder: Path, pairs: Path, line: int, who: tuple[str, int]) -> Path:
    """FOLDER/name/name_0001.jpg, or with another extension of a photo. Raises InvalidRequest naming the line."""
    name, number = who
    stem = folder / name / f"{name}_{number:04d}"
    for extension in (".jpg", *sorted(EXTENSIONS)):
        path = stem.with_name(stem.name + extension)
        if path.is_file():
            return path
    wanted = stem.relative_to(folder).as_posix()
    raise InvalidRequest(f"{pairs}:{line}: there is no photo {wanted}.jpg in {folder}.", field="pairs")


@dataclass(frozen=True, slots=True)
class Accepted:
    """True accepts at the threshold where at most `far` of the pairs of two people are accepted."""

    far: float
    threshold: float
    part: float
    interval: Interval
    false_accepts: int
    """behind `far`"""


@dataclass(frozen=True, slots=True)
class Judged:
    accuracy: float
    standard_error: float
    threshold: float
    """mean of the folds'"""
    auc: float
    """chance that a pair of one person scores above a pair of two"""
    eer: float
    accepted: list[Accepted]
    same: int
    """pairs of one person that were judged"""
    different: int


def judge(scores: Floats, same: npt.NDArray[np.bool_], folds: npt.NDArray[np.int64]) -> Judged:
    """From (n,) scores, whether a pair is one person, and its fold."""
    judged = [_fold(scores, same, folds == fold) for fold in np.unique(folds)]
    accuracies, thresholds = np.array(judged).T
    own, others = np.sort(scores[same]), np.sort(scores[~same])
    return Judged(
        accuracy=float(accuracies.mean()),
        standard_error=float(accuracies.std(ddof=1) / math.sqrt(len(accuracies))),
        threshold=float(thresholds.mean()),
        auc=_auc(own, others),
        eer=_eer(own, others),
        accepted=[_accepted(own, others, far) for far in TARGETS],
        same=len(own),
        different=len(others),
    )


def _fold(scores: Floats, same: npt.NDArray[np.bool_], here: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """(accuracy in the fold, threshold that is best on the others)."""
    threshold = best_threshold(scores[~here], same[~here])
    return float(((scores[here] >= threshold) == same[here]).mean()), threshold


def best_threshold(scores: Floats, same: npt.NDArray[np.bool_]) -> float:
    """The score that, as a threshold, gets the most pairs right; the middle of the gap below it."""
    order = np.argsort(scores)
    ranked, kinds = scores[order], same[order]
    right = np.concatenate([[0], np.cumsum(~kinds)]) + np.concatenate([np.cumsum(kinds[::-1])[::-1], [0]])
    at = int(np.argmax(right[:-1]))
    return float(ranked[at] if at == 0 else (ranked[at - 1] + ranked[at]) / 2)


def _auc(own: Floats, others: Floats) -> float:
    below, up_to = np.searchsorted(others, own), np.searchsorted(others, own, side="right")
    return float((below + up_to).sum() / (2 * len(own) * len(others)))


def _eer(own: Floats, others: Floats) -> float:
    thresholds = np.concatenate([own, others])
    thresholds.sort()
    missed = np.searchsorted(own, thresholds) / len(own)
    accepted = 1 - np.searchsorted(others, thresholds) / len(others)
    at = int(np.argmax(missed >= accepted))
    return float((missed[at] + accepted[at]) / 2)


def _accepted(own: Floats, others: Floats, far: float) -> Accepted:
    """The lowest threshold that keeps to `far`: just above the first pair of two people that may not be accepted."""
    allowed = math.floor(far * len(others))
    threshold = float(np.nextafter(others[-1 - allowed], np.inf))
    hits = int((own >= threshold).sum())
    return Accepted(far, threshold, hits / len(own), wilson(hits, len(own)), int((others >= threshold).sum()))
