"""The error tree is the same in three places: the classes, the drawing above them, and the README's table."""

from __future__ import annotations

import ast
import re

import pytest

from common import errors
from common.errors import FacegridError
from tests.rules.files import CODE, modules, table_rows, text

TREE_LINE = re.compile(r"^(?P<indent>[│├└─ ]*)(?P<name>\w+) +(?P<status>\d{3}) (?P<code>[A-Z_]+)$")
INDENT = 4

Drawn = tuple[str, str, int, str]
"""name, name of the parent, status, code"""


def classes(root: type[FacegridError] = FacegridError) -> list[type[FacegridError]]:
    return [root, *(found for child in root.__subclasses__() for found in classes(child))]


def drawn(docstring: str) -> list[Drawn]:
    """The tree as it is drawn, top down; the root is its own parent."""
    found: list[Drawn] = []
    path: list[str] = []
    for match in filter(None, map(TREE_LINE.match, docstring.splitlines())):
        depth = len(match["indent"]) // INDENT
        path[depth:] = [match["name"]]
        found.append((match["name"], path[max(depth - 1, 0)], int(match["status"]), match["code"]))
    return found


def listed(markdown: str) -> set[tuple[str, int]]:
    """(code, status) of every table row whose first cell is an error code and whose second is a status."""
    return {
        (row[0].strip("`"), int(row[1]))
        for row in table_rows(markdown)
        if re.fullmatch(r"`[A-Z_]+`", row[0]) and re.fullmatch(r"\d{3}", row[1])
    }


def foreign_subclasses(source: str) -> list[str]:
    """Classes in a module that derive from one of the tree."""
    names = {found.__name__ for found in classes()}
    found = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef))
    return [node.name for node in found if names & {ast.unparse(base).rpartition(".")[2] for base in node.bases}]


def test_the_drawing_shows_the_classes() -> None:
    assert errors.__doc__ is not None
    expected = {(c.__name__, c.__base__.__name__ if c.__base__ else "", c.status, c.code) for c in classes()}
    expected = {row if row[0] != "FacegridError" else (row[0], row[0], *row[2:]) for row in expected}
    assert set(drawn(errors.__doc__)) == expected


def test_the_readme_lists_every_code_with_its_status() -> None:
    assert listed(text("README.md")) == {(c.code, c.status) for c in classes()}


def test_every_code_and_title_is_its_own() -> None:
    found = classes()
    assert len({c.code for c in found}) == len({c.title for c in found}) == len(found)


def test_the_tree_has_no_branches_elsewhere() -> None:
    code = {path: source for path, source in modules(*CODE).items() if path != "common/errors.py"}
    assert {path: found for path, source in code.items() if (found := foreign_subclasses(source))} == {}


def test_a_branch_elsewhere_is_found() -> None:
    assert foreign_subclasses("class A(NotFound): ...\nclass B(errors.Conflict): ...\nclass C(ValueError): ...") == [
        "A",
        "B",
    ]


@pytest.mark.parametrize(
    ("docstring", "expected"),
    [
        (
            "A          500 X\n├── B     404 Y\n│   └── C 404 Z",
            [("A", "A", 500, "X"), ("B", "A", 404, "Y"), ("C", "B", 404, "Z")],
        ),
        (
            "A      500 X\n├── B  404 Y\n└── C  409 Z",
            [("A", "A", 500, "X"), ("B", "A", 404, "Y"), ("C", "A", 409, "Z")],
        ),
    ],
)
def test_a_drawing_is_read_with_its_parents(docstring: str, expected: list[Drawn]) -> None:
    assert drawn(docstring) == expected


def test_a_table_is_read_by_its_code_cells_alone() -> None:
    assert listed("| code | status |\n|---|---|\n| `A_B` | 404 | x |\n| `FACEGRID_X` | 8000 | y |") == {("A_B", 404)}
