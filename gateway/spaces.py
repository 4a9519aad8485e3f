"""The embedding spaces that this gateway knows: what it can encode photos into, and how far scores can be trusted.

`dlib-resnet-v1` is always there. Others come from manifests in the folder FACEGRID_MODELS. A file `<space>.curve.json`
there, as `facegrid calibrate` writes it, replaces the curve that a space came with. Read once at start: a gateway with
a manifest or curve that it cannot use does not start.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from common.cluster_map import StoreConfig
from common.errors import EncoderMissing, InvalidCurve, InvalidManifest, UnknownSpace
from common.types import DLIB_DIMENSION, DLIB_SPACE
from gateway.encoder.manifest import CURVE_SUFFIX, EncoderManifest, read_models
from gateway.fmr import FmrCurve
from gateway.track import DLIB_LEAST_ALIKE

LEAST_ALIKE_FMR = 0.1
"""The photos of a track are taken for one person if each pair scores as high as one pair of strangers in ten does; in
dlib's space that is the limit which was measured, `DLIB_LEAST_ALIKE`."""


@dataclass(frozen=True, slots=True)
class Space:
    name: str
    dimension: int
    curve: FmrCurve
    least_alike: float
    """the score that every two photos of a track must reach"""


class Spaces:
    def __init__(self, spaces: dict[str, Space]) -> None:
        self._spaces = spaces

    @classmethod
    def load(cls, folder: str) -> Spaces:
        """dlib's, and those of the manifests in the folder; "": dlib's alone.

        Raises InvalidCurve, and what a manifest raises, naming the file.
        """
        dlib = Space(
            DLIB_SPACE,
            DLIB_DIMENSION,
            measured_curve(DLIB_SPACE, folder) or shipped_curve(DLIB_SPACE),
            DLIB_LEAST_ALIKE,
        )
        own = (_of_manifest(manifest, folder) for manifest in read_models(folder).encoders.values())
        return cls({space.name: space for space in (dlib, *own)})

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._spaces))

    @property
    def widest(self) -> int:
        """The most numbers that an embedding of any of them has."""
        return max(space.dimension for space in self._spaces.values())

    def of(self, name: str) -> Space:
        """Raises UnknownSpace."""
        if name not in self._spaces:
            raise UnknownSpace(
                f"There is no embedding space {name[:64]}; there are {', '.join(self.names)}.",
                field="space",
                limit=list(self.names),
            )
        return self._spaces[name]

    def of_store(self, config: StoreConfig) -> Space:
        """Raises EncoderMissing: the store was made through a gateway that knew its space, and this one does not."""
        space = self._spaces.get(config.space)
        if space is None or space.dimension != config.dimension:
            raise EncoderMissing(
                f"Store {config.store} is in space {config.space} of {config.dimension} numbers, of which this gateway "
                "has no model; put its manifest into FACEGRID_MODELS."
            )
        return space


def shipped_curve(space: str) -> FmrCurve:
    return FmrCurve.from_json((resources.files("gateway") / "curves" / f"{space}.json").read_text())


def _of_manifest(manifest: EncoderManifest, folder: str) -> Space:
    curve = measured_curve(manifest.space, folder) or manifest.curve
    if curve is None:
        raise InvalidManifest(
            f"{manifest.path.name}: curve: {manifest.space} has no measured FMR curve, without which no threshold can "
            "be said; `facegrid calibrate` measures one.",
            field="curve",
        )
    return Space(manifest.space, manifest.dimension, curve, curve.score_at(LEAST_ALIKE_FMR))


def measured_curve(space: str, folder: str) -> FmrCurve | None:
    """What `facegrid calibrate` wrote, if it did."""
    path = Path(folder) / (space + CURVE_SUFFIX)
    if not folder or not path.is_file():
        return None
    try:
        return FmrCurve.from_json(path.read_text(), space)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidCurve(f"{path} cannot be read: {error}.", field="curve") from None
    except InvalidCurve as error:
        raise InvalidCurve(f"{path}: {error.detail}", field=error.field, limit=error.limit) from None
