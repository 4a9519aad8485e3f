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
"""Rows of a group that are still scanned, which is exact. Microseconds a probe, asked in blocks of 8, scan and codes:

     rows     1,000   2,000   5,000   10,000   20,000   50,000
     scan        28      34      78      106      210      910
     codes       35      34      51       51       70      100

The two are even at 3,000 rows; up to 20,000 the time that codes would save is no more than a home search takes.
"""
LISTED_FROM = 500_000
"""From here on the codes are kept in lists, of which a search reads those nearest to the probe. A million rows: all
codes 0.86 ms a probe in blocks of 8 and 2.2 ms alone; 32 of 64 lists 0.55 and 1.1 ms. Recall@1 of 2,500 strangers is
0.9996 both times; with 24 lists 0.9992. Below 200,000 rows there is nothing to gain: 0.16 against 0.14 ms."""
FINELY_LISTED_FROM = 4_000_000
"""From here on there are more and smaller lists. Ten million rows, in blocks of 8 and alone, where a scan takes 160 to
230 ms: 32 of 64 lists 3.6 and 8.3 ms, 64 of 256 lists 2.6 and 4.5 (recall@1 of 400 strangers 1.000 both times; 48 of
256 lists 0.9975), 192 of 1,024 lists 2.2 and 4.1, which take ten times as long to train. A million rows need 96 of 256
lists."""


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
        codes = f"PQ{dimension // 2}x4fs"
        if rows < LISTED_FROM:
            return Recipe(codes)
        return (
            Recipe(f"IVF64,{codes}", "nprobe=32")
            if rows < FINELY_LISTED_FROM
            else Recipe(f"IVF256,{codes}", "nprobe=80")
        )
