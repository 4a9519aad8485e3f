"""Which searches of an evaluation a human should look at, and the sheets that show them.

A sheet for each kind of probe: wrong answers first, at most half of it, then those that were decided most narrowly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.client.answers import CandidateBody, ResultBody, SearchBody
from deploy.client.evaluation import Identity, Probe
from deploy.client.photos import Person, Photo
from deploy.measure.sheet import Card, Row, save_sheet

ROWS = 8
Answered = tuple[Probe, SearchBody | None]


def save_pictures(
    folder: Path, answers: Mapping[str, Sequence[Answered]], homes: Sequence[tuple[str, Person]]
) -> list[Path]:
    """One PNG a kind of probe; the paths. Candidates are shown by their first photo. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    known = {(home, person.face_id): person.photos[0] for home, person in homes}
    paths: list[Path] = []
    for what, answered in answers.items():
        usable = [(probe, answer["results"][0]) for probe, answer in answered if answer is not None]
        shown = chosen(usable)
        if not shown:
            continue
        path = folder / f"top-k-{what.replace(' ', '-')}.png"
        wrong = sum(not right(probe, result) for probe, result in usable)
        title = f"{what}: {wrong} of {len(usable)} wrong; here {len(shown)}, the worst and the narrowest. Red: wrong"
        save_sheet(path, [_row(probe, result, known) for probe, result in shown], title)
        paths.append(path)
    return paths


def chosen(answered: Sequence[tuple[Probe, ResultBody]], rows: int = ROWS) -> list[tuple[Probe, ResultBody]]:
    """At most `rows`: the wrong ones, the worst first, and the right ones, the narrowest first."""
    wrong = sorted((pair for pair in answered if not right(*pair)), key=lambda pair: _badness(pair[1]))
    rights = sorted((pair for pair in answered if right(*pair)), key=lambda pair: margin(pair[1]))
    return [*wrong[: max(rows // 2, rows - len(rights))], *rights][:rows]


def _badness(result: ResultBody) -> tuple[bool, float]:
    """Sorts false matches before misses, the most decided first."""
    return result["verdict"] != "match", -margin(result)


def right(probe: Probe, result: ResultBody) -> bool:
    """The answer is what it should be: this person, or nobody."""
    if probe.who is None:
        return result["verdict"] == "no_match"
    return result["verdict"] == "match" and _who(result["candidates"][0]) == probe.who


def margin(result: ResultBody) -> float:
    """How far the best candidate is from its threshold, on either side."""
    return min((abs(c["score"] - c["threshold"]) for c in result["candidates"][:1]), default=1.0)


def _row(probe: Probe, result: ResultBody, known: Mapping[Identity, Photo]) -> Row:
    name = "a stranger" if probe.who is None else probe.who[1]
    lines = (_short(name), f"{1 + len(probe.more)} photo(s)", result["verdict"])
    box = None if probe.more else result["box"]
    head = Card(_read(probe.photo), box, lines, right=right(probe, result))
    matched = result["verdict"] == "match"
    cards = [_card(c, probe, matched and not at, known) for at, c in enumerate(result["candidates"])]
    return Row(head, tuple(cards))


def _card(candidate: CandidateBody, probe: Probe, matched: bool, known: Mapping[Identity, Photo]) -> Card:
    score, threshold = candidate["score"], candidate["threshold"]
    photo = known.get(_who(candidate))
    lines = (
        _short(candidate["face_id"]),
        f"score {score:.3f} {'≥' if score >= threshold else '<'} {threshold:.3f}",
        "the same person" if _who(candidate) == probe.who else "somebody else",
    )
    return Card(None if photo is None else _read(photo), None, lines, matched, _who(candidate) == probe.who)


def _who(candidate: CandidateBody) -> Identity:
    return candidate["store"], candidate["face_id"]


def _read(photo: Photo) -> bytes | None:
    try:
        return photo.read()
    except OSError:
        return None


def _short(text: str, most: int = 20) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
