"""From visits to figures. Pure, and all of one row of a report at once, in numpy.

A visit belongs to the bucket in which it *starts*, with all of its length, and so does its visitor:

    pv          visits that start in the bucket
    uv          different persons among them: a person is one, however often they come, also with two faces that are
                bound to one member; for a chain, at however many stores
    new         those of them who had never been seen before that bucket, at the store (for a chain: in the group)
    members     those of them who are members
    dwell       length of these visits, from the first sighting to the last (0 for somebody seen once)
    person time how long persons were there within the bucket, also in visits that started before it
    peak        most persons who were there at one time within it

Buckets may so be added up (pv, new, dwell, person time), but for persons and the peak, as anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from common.intervals import Interval
from gateway.footfall.calendar import Span

Integers: TypeAlias = npt.NDArray[np.int64]
MINUTE_MS = 60_000
NEVER = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class Table:
    """Visits, one a row, (n,) each; times in ms."""

    persons: Integers
    """numbers"""
    enters: Integers
    """when it starts, or when the table does"""
    exits: Integers
    counted: npt.NDArray[np.bool_]
    """it starts within the table"""

    @classmethod
    def of(cls, visits: Mapping[str, Sequence[Interval]], numbers: Mapping[str, int], since_ms: int) -> Table:
        """Visits by person. What is before `since_ms` is cut off; a visit that started then is not counted."""
        rows = [(numbers[person], *visit) for person, made in visits.items() for visit in made if visit[1] >= since_ms]
        columns = np.array(rows, dtype=np.int64).reshape(-1, 3).T
        persons, starts, ends = np.ascontiguousarray(columns)
        return cls(persons, np.maximum(starts, since_ms), ends, starts >= since_ms)

    @classmethod
    def together(cls, tables: Sequence[Table]) -> Table:
        """At least one."""
        return cls(
            np.concatenate([table.persons for table in tables]),
            np.concatenate([table.enters for table in tables]),
            np.concatenate([table.exits for table in tables]),
            np.concatenate([table.counted for table in tables]),
        )


@dataclass(frozen=True, slots=True)
class Tally:
    """The figures of one bucket."""

    pv: int
    uv: int
    new: int
    members: int
    dwells: Integers
    """(pv,) ms, sorted"""
    person_ms: int
    peak: int


@dataclass(frozen=True, slots=True)
class People:
    """What is known of persons, by their number, (p,)."""

    firsts: Integers
    """when they were first seen, ms; NEVER: not known, or long before"""
    members: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, numbers: Mapping[str, int], firsts: Mapping[str, int], members: Set[str]) -> People:
        return cls(
            np.array([firsts.get(person, NEVER) for person in numbers], dtype=np.int64),
            np.array([person in members for person in numbers], dtype=np.bool_),
        )


def numbered(rows: Sequence[Mapping[str, object]]) -> dict[str, int]:
    """All persons of these mappings → a number of their own, from 0 on, in order."""
    persons = dict.fromkeys(person for row in rows for person in row)
    return {person: number for number, person in enumerate(persons)}


def reckon(table: Table, people: People, spans: Sequence[Span]) -> list[Tally]:
    """The figures of each bucket; `spans` must follow one another without gaps."""
    bounds = np.array([*(span.start for span in spans), spans[-1].end], dtype=np.int64)
    bucket = _bucket(table.enters, bounds)
    counted = table.counted & (bucket >= 0) & (bucket < len(spans))
    bucket, persons = bucket[counted], table.persons[counted]
    dwells = (table.exits - table.enters)[counted]
    order = np.lexsort((dwells, bucket))
    by_bucket = np.split(dwells[order], np.searchsorted(bucket[order], np.arange(1, len(spans))))
    uv, new, members = _persons(bucket, persons, people, bounds)
    person_ms, peaks = np.diff(_person_time(table, bounds)), _peaks(table, bounds)
    return [
        Tally(len(by_bucket[at]), uv[at], new[at], members[at], by_bucket[at], int(person_ms[at]), int(peaks[at]))
        for at in range(len(spans))
    ]


def _persons(
    bucket: Integers, persons: Integers, people: People, bounds: Integers
) -> tuple[list[int], list[int], list[int]]:
    """Of each bucket: different persons, new ones, members."""
    count, most = len(bounds) - 1, max(1, len(people.members))
    when, who = np.divmod(np.unique(bucket * most + persons), most)
    is_new = _bucket(people.firsts[who], bounds) == when
    found = (when, when[is_new], when[people.members[who]])
    uv, new, members = (np.bincount(where, minlength=count).tolist() for where in found)
    return uv, new, members


def _bucket(times: Integers, bounds: Integers) -> Integers:
    """In which bucket each time is; -1 or the number of buckets: before or after all of them."""
    return np.asarray(np.searchsorted(bounds, times, side="right") - 1, dtype=np.int64)


def _person_time(table: Table, bounds: Integers) -> Integers:
    """Until each bound, ms: every visit's time up to then, added up."""
    return _elapsed(table.enters, bounds) - _elapsed(table.exits, bounds)


def _elapsed(times: Integers, bounds: Integers) -> Integers:
    """For each bound, the time since all `times` before it, added up."""
    ordered = np.sort(times)
    before = np.searchsorted(ordered, bounds)
    # From the first bound on, so that the sums stay far below 2^63.
    sums = np.concatenate([[0], np.cumsum(ordered - bounds[0])])
    return np.asarray(before * (bounds - bounds[0]) - sums[before], dtype=np.int64)


def _peaks(table: Table, bounds: Integers) -> Integers:
    """Most visits open at one time in each bucket: at its beginning, or whenever a visit starts in it. A visit is open
    from its first sighting to its last, both included."""
    enters, exits = np.sort(table.enters), np.sort(table.exits)
    moments = np.concatenate([bounds[:-1], enters])
    there = np.searchsorted(enters, moments, side="right") - np.searchsorted(exits, moments, side="left")
    bucket = _bucket(moments, bounds)
    peaks = np.zeros(len(bounds), dtype=np.int64)
    inside = (bucket >= 0) & (bucket < len(bounds) - 1)
    np.maximum.at(peaks, bucket[inside], there[inside])
    return peaks[:-1]


def overlap(rows: Mapping[str, Set[str]]) -> dict[tuple[str, str], int]:
    """Persons by store → how many were at both of two stores (in order of name); without pairs that share nobody."""
    stores_of: dict[str, list[str]] = {}
    for store in sorted(rows):
        for person in rows[store]:
            stores_of.setdefault(person, []).append(store)
    found: dict[tuple[str, str], int] = {}
    for stores in stores_of.values():
        for at, store in enumerate(stores):
            for other in stores[at + 1 :]:
                found[store, other] = found.get((store, other), 0) + 1
    return dict(sorted(found.items()))
