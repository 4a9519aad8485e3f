"""One search of the demo beside the answer it should have had, and as a line of the table."""

from __future__ import annotations

from dataclasses import dataclass

from deploy.cli.output import verdict
from deploy.client.answers import ResultBody, SearchBody
from deploy.client.evaluation import Identity, Probe

COLUMNS = ("who", "at", "verdict", "found at", "score", "route", "ms", "")


@dataclass(frozen=True, slots=True)
class Checked:
    """One search and whether its answer is right."""

    name: str
    probe: Probe
    expected: str
    answer: SearchBody | None
    """None: the gateway refused the photo, which is wrong here"""

    @property
    def result(self) -> ResultBody | None:
        return None if self.answer is None else self.answer["results"][0]

    @property
    def verdict(self) -> str:
        return "refused" if self.result is None else self.result["verdict"]

    @property
    def found(self) -> Identity | None:
        """The person matched, if one was."""
        if self.result is None or self.verdict != "match":
            return None
        best = self.result["candidates"][0]
        return best["store"], best["face_id"]

    @property
    def right(self) -> bool:
        return self.verdict == self.expected and self.found == self.probe.who

    def cells(self) -> list[str]:
        """Of the table: who, at, verdict, found at, score, route, ms, right or wrong."""
        score = route = ms = "-"
        if self.answer is not None and self.result is not None:
            score = next((f"{c['score']:.3f}" for c in self.result["candidates"]), "-")
            route = self.result["route"]["mode"].replace("_", "-")
            ms = f"{self.answer['timing']['total_ms']:.0f}"
        found = "-" if self.found is None else self.found[0] if self.right else short("/".join(self.found))
        mark = f"[{'green' if self.right else 'bold red'}]{word(self.right)}[/]"
        return [short(self.name), self.probe.store, verdict(self.verdict), found, score, route, ms, mark]


def short(name: str, most: int = 14) -> str:
    """So that a line of the table stays one line."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def word(right: bool) -> str:
    return "right" if right else "WRONG"
