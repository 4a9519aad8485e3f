"""Which codes a group gets, by its number of rows and by two settings.

FACEGRID_INDEX is `auto`, `flat` (never any codes: every search is a scan), or a factory string of Faiss, which then is
taken for every group of CODED_FROM rows and more. FACEGRID_INDEX_PARAMETERS is for searching with such an index.
"""

from __future__ import annotations

from dataclasses import dataclass

import faiss

from common.errors import InvalidIndex
from common.types import DLIB_DIMENSION

AUTO, FLAT = "auto", "flat"
CODED_FROM = 20_000


@dataclass(frozen=True, slots=True)
class Recipe:
    spec: str
    """a factory string of Faiss: `PQ64x4fs`, `IVF1024,Flat`, `HNSW32`, …"""
    parameters: str = ""
    """for searching: `nprobe=16`"""

    def index(self, dimension: int) -> faiss.Index:
        """Empty and untrained. Raises InvalidIndex saying which of the two Faiss does not understand."""
        try:
            made = faiss.index_factory(dimension, self.spec, faiss.METRIC_L2)
        except RuntimeError as error:
            detail = f"FACEGRID_INDEX: Faiss makes no index {self.spec!r} for {dimension} numbers."
            raise InvalidIndex(detail, field="index") from error
        try:
            # The stubs know only the other of its two forms.
            faiss.ParameterSpace().set_index_parameters(made, self.parameters)  # type: ignore[arg-type]
        except RuntimeError as error:
            detail = f"FACEGRID_INDEX_PARAMETERS: {self.spec} does not understand {self.parameters!r}."
            raise InvalidIndex(detail, field="index_parameters") from error
        return made


@dataclass(frozen=True, slots=True)
class Recipes:
    """What the settings say."""

    index: str = AUTO
    parameters: str = ""

    def __post_init__(self) -> None:
        """Raises InvalidIndex for what Faiss does not understand."""
        if self.index not in {AUTO, FLAT}:
            Recipe(self.index, self.parameters).index(DLIB_DIMENSION)
        elif self.parameters:
            raise InvalidIndex(f"FACEGRID_INDEX_PARAMETERS: {self.index} has no parameters.", field="index_parameters")

    def of(self, rows: int, dimension: int) -> Recipe | None:
        """For a group of so many rows with so many numbers each; None: no codes."""
        if self.index == FLAT or rows < CODED_FROM:
            return None
        if self.index != AUTO:
            return Recipe(self.index, self.parameters)
        return Recipe(f"PQ{dimension // 2}x4fs")
