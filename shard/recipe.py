"""Which codes a group gets, by its number of rows and by two settings.

FACEGRID_INDEX is `auto`, `flat` (never any codes: every search is a scan), or a factory string of Faiss, which then is
taken for every group of CODED_FROM rows and more. FACEGRID_INDEX_PARAMETERS is for searching with such an index.
"""

from __future__ import annotations

from dataclasses import dataclass

import faiss

from common.errors import InvalidIndex
from common.types import DLIB_DIMENSION, Vectors

AUTO, FLAT = "auto", "flat"
CODED_FROM = 20_000
"""Rows of a group that are still scanned, which is exact. Microseconds a probe, asked in blocks of 8, scan and codes:

     rows     1,000   2,000   5,000   10,000   20,000   50,000
     scan        20      28      49       86      154      770
     codes       20      22      25       28       37       46

Up to 20,000 rows codes would save a tenth of a millisecond, and a scan is exact.
"""
LISTS = ((50_000, 64, 40), (250_000, 256, 112), (3_000_000, 1024, 288))
"""From so many rows on the codes are kept in so many lists, of which a search reads so many, those nearest to the
probe. Recall@1 of 3,000 strangers, and of all probes that pass a threshold of 0.9535, the least of three or four
trainings (people who are enrolled were found every time), with 64 nominees:

    100,000     28 of 64 lists 0.9980, 0.9996;   32 of 64 lists 0.9993, 0.9996;    40 of 64 lists 1.0000, 1.0000
    333,000     80 of 256 lists 0.9993, 0.9997;  96 of 256 lists 0.9997, 1.0000;   112 of 256 lists 1.0000, 1.0000
    1,000,000   80 of 256 lists 0.9993, 0.9997;  112 of 256 lists 1.0000, 1.0000;  128 of 256 lists 1.0000, 1.0000

A search of 333,000 rows takes 100 us a probe in blocks of 64 with 80 lists, and twice that with all. More and shorter
lists bring nothing up to a million rows: as many found take as long. Then they do (2,000 strangers, two trainings, ms
a probe, alone and in blocks of 64):

    3,000,000   112 of 256 lists 1.0000, 1.63, 0.82;   288 of 1024 lists 1.0000, 1.40, 0.60
    10,000,000  112 of 256 lists 1.0000, 5.05, 2.54;   288 of 1024 lists 1.0000, 3.79, 1.72"""
DEPTH = 200
"""nominees by codes for one probe, of all rows: by codes of `PQ64x4fs` recall@1 of strangers among a million was 0.988
with 50, 0.9996 with 150 and 1.000 with 200."""
PROJECTED_DEPTH = 64
"""The same of codes of projected rows, which are the better ones: 0.9985 with 24, 0.9993 with 40, 1.0000 with 64."""
CARRIED = 0.9
"""Of the spread of a group's rows, what half of their principal components must carry: of dlib's 128 numbers they carry
0.97. Then 4 bits for each of them say more than 4 bits for two numbers at a time, in as many bytes. Of 200,000 Gaussian
rows recall@1 with 40 nominees was 1.000 where they carry 0.95, 0.9993 at 0.9 (codes of plain rows with 200: 0.9987),
0.989 at 0.85 and 0.77 at 0.7."""


@dataclass(frozen=True, slots=True)
class Recipe:
    spec: str
    """a factory string of Faiss: `PQ64x4fs`, `IVF1024,Flat`, `HNSW32`, …"""
    parameters: str = ""
    """for searching: `nprobe=16`"""
    depth: int = DEPTH
    """how many rows to nominate for one probe, of all rows"""
    plain: Recipe | None = None
    """for rows whose spread half of their principal components do not carry"""

    def suited(self, sample: Vectors) -> Recipe:
        """What to train on the sample (n, d) if this was asked for. Raises RuntimeError if it is too small."""
        if self.plain is None:
            return self
        components = faiss.PCAMatrix(sample.shape[1], sample.shape[1] // 2)
        components.train(sample)
        spread = faiss.vector_to_array(components.eigenvalues)
        return self if spread[: components.d_out].sum() >= CARRIED * spread.sum() else self.plain

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
        half = dimension // 2
        lists = [(f"IVF{count},", f"nprobe={read}") for least, count, read in LISTS if rows >= least]
        listed, parameters = lists[-1] if lists else ("", "")
        codes = f"{listed}PQ{half}x4fs"
        return Recipe(f"PCAR{half},{codes}", parameters, PROJECTED_DEPTH, Recipe(codes, parameters))
