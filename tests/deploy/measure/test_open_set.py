"""Draws keep enrolled people, probes and strangers apart; both ways of telling count as they should."""

from __future__ import annotations

import numpy as np
import pytest

from common.errors import InvalidRequest
from deploy.measure.labelled import Ints, Labelled
from deploy.measure.open_set import Draw, Measured, Outcome, Protocol, by_tutorial, draw, templates_of
from tests.deploy.measure.invented import people

CHANCE = np.random.default_rng(0)


def whose(some: Labelled, rows: list[Ints]) -> list[set[int]]:
    return [set(some.persons[group].tolist()) for group in rows]


def test_nobody_is_enrolled_and_a_stranger_and_no_photo_is_both_enrolled_and_searched_for() -> None:
    some = people([1] * 20 + [3] * 20 + [6] * 20)
    drawn = draw(some, Protocol(3, 2, 40), np.random.default_rng(1))
    enrolled, strangers, probes = (whose(some, rows) for rows in (drawn.enrolled, drawn.strangers, drawn.probes))
    assert len(drawn.enrolled) == 40
    assert all(len(who) == 1 for who in (*enrolled, *strangers, *probes))
    assert not {p for who in enrolled for p in who} & {p for who in strangers for p in who}
    assert [enrolled[face] for face in drawn.own] == probes
    assert not {row for group in drawn.enrolled for row in group} & {row for group in drawn.probes for row in group}
    assert {len(rows) for rows in (*drawn.probes, *drawn.strangers)} == {2}


def test_those_with_the_most_photos_are_enrolled_first() -> None:
    some = people([1] * 20 + [3] * 20 + [6] * 20)
    one, two, three = templates_of([draw(some, Protocol(3, 2, 40), np.random.default_rng(1))], 3)
    assert (one + two + three, two) == (40, 0)
    assert three > 20  # of the 40 who have three, a third are strangers
    few = draw(some, Protocol(3, 2, 10), np.random.default_rng(1))
    assert len(few.probes) == 10


def test_a_gallery_needs_a_stranger_beside_it() -> None:
    with pytest.raises(InvalidRequest, match="more than these 10 people") as refused:
        draw(people([2] * 10), Protocol(1, 1, 10), CHANCE)
    assert refused.value.limit == 10


def test_the_tutorials_way_takes_the_nearest_template_of_any_photo() -> None:
    raw = np.array([[0, 0], [5, 0], [0.5, 0], [9, 9], [5.2, 0], [5.9, 0]], dtype=np.float64)
    drawn = Draw(
        enrolled=[np.array([0]), np.array([3, 1])],
        probes=[np.array([2, 4])],
        own=np.array([1]),
        strangers=[np.array([5, 5]), np.array([2, 5])],
    )
    outcome = by_tutorial(raw, drawn)
    assert outcome.own_first.tolist() == [True]
    assert outcome.own_margin == pytest.approx([0.4])
    assert outcome.stranger_margin == pytest.approx([-0.3, 0.1])
    assert outcome.fpir() == 0.5


def test_a_face_found_is_the_right_one_and_above_its_threshold() -> None:
    margins = np.array([0.2, -0.1, 0.3, 0.05])
    outcome = Outcome(np.array([True, True, False, True]), margins, np.array([-0.3, 0.1, -0.2, -0.1]))
    assert (outcome.rank_1, outcome.tpir(), outcome.tpir(0.1), outcome.fpir()) == (0.75, 0.5, 0.25, 0.25)
    measured = Measured([outcome] * 10)
    assert (measured.probes, measured.strangers) == (40, 40)
    assert measured.tpir_at(0.25).mean == pytest.approx(0.5)  # between -0.1 and 0.1
    assert measured.tpir_at(0.5).mean == pytest.approx(0.75)  # between -0.2 and -0.1
