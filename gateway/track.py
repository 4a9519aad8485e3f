"""Is a track one person? A camera that follows a face through a crowd sometimes goes on with another one's.

The mean of two people's photos is nobody: enrolled, it would be a face that both half match. So a track is one probe
only if every two of its photos are alike enough; the least alike pair decides. Two rules were tried and rejected: each
photo against the mean of the others (in a track that is half one person and half another the means hide both: 13% of
2+2 photos noticed at the limit below, the pair notices 97%), and the means of the two most different halves (75%).

Only clear cases are refused. The limit is far below the threshold of a match: photos of one person in poor light are
taken together, and whose they are is still for the search to say.
"""

from __future__ import annotations

import numpy as np

from common.errors import MixedTrack
from common.types import Vectors
from common.vectors import mean_row

DLIB_LEAST_ALIKE = 0.88
"""The score that every two photos of a track must reach in dlib's space.

Measured on LFW (unit length), where the photos of a person are years apart and some labels are wrong: of genuine
tracks of 2, 3, 4 and 5 photos 0.3, 0.1, 0.3 and 0.7% are refused; of tracks of two people 91% of 1+1 photos, 95% of
2+1, 97% of 2+2 and 3+1, 98% of 3+2.
"""


def check_one_person(embeddings: Vectors, least_alike: float, field: str = "embeddings") -> Vectors:
    """The probe of a track: the unit-length mean, (d,), of the (n, d) unit embeddings of its photos, n >= 1, every two
    of which score `least_alike` or more.

    Raises MixedTrack naming `field` if two of the photos are clearly not one person, with each photo's score.
    """
    if len(embeddings) > 1:
        _refuse_mixed(embeddings, least_alike, field)
    return mean_row(embeddings)


def _refuse_mixed(embeddings: Vectors, limit: float, field: str) -> None:
    pairs = embeddings @ embeddings.T
    one, other = sorted(divmod(int(pairs.argmin()), len(pairs)))
    score = float(pairs[one, other])
    if score < limit:
        raise MixedTrack(
            f"Photos {one} and {other} of the track are not one person: they score {score:.4f}, below {limit:g}.",
            field=field,
            limit=limit,
            scores=scores(embeddings),
            pair=[one, other],
        )


def scores(embeddings: Vectors) -> list[float]:
    """Each photo's score against the mean of the others; a photo that does not belong scores lowest."""
    others = embeddings.sum(axis=0, dtype=np.float64) - embeddings
    lengths = np.maximum(np.linalg.norm(others, axis=1), np.finfo(np.float32).eps)  # others may cancel out
    return [round(float(score), 4) for score in (embeddings * others).sum(axis=1) / lengths]
