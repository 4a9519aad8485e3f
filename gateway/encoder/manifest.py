"""What is said of a model beside it: `<name>.json`, one file for an encoder or a detector, in the folder
FACEGRID_MODELS.

A manifest says everything that a model file does not: how a face is cut out for it, how pixels become its input, and,
for an encoder, how often strangers look alike to it (the FMR curve, without which no threshold can be said). Every
field is checked when the file is read, and the model's SHA-256 before a byte of it is parsed. `file` is a plain name,
so a manifest cannot reach out of its folder; it may be a symbolic link, as mounted volumes make them.

`<space>.curve.json` in the same folder is no manifest: `gateway/spaces.py` reads it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    PrivateAttr,
    Tag,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from common.errors import InvalidCurve, InvalidManifest, WrongHash
from common.limits import NAME, NAME_RULE
from common.types import DLIB_SPACE
from gateway.fmr import FmrCurve

MOST_BYTES = 1_000_000
"""of a manifest; a curve has 200 points at most"""
LEAST_SPREAD = 0.1
"""of a template's points, in parts of its side: less shows the whole room"""
LARGEST_FACE = 1024
"""pixels: sixteen such at once are 200 MB of an encoder's input"""
CURVE_SUFFIX = ".curve.json"
DLIB_DETECTOR = "dlib"
"""the name of dlib's own detector, which has no manifest"""

NAMED, TEMPLATE = "named", "template"
UNSAID = frozenset({"encoder", "detector", NAMED, TEMPLATE})
"""what pydantic puts into the place of an error to say which of several types it took"""

Three: TypeAlias = tuple[float, float, float]
Point: TypeAlias = tuple[float, float]
Name: TypeAlias = Annotated[str, Field(max_length=64)]
FileName: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,199}$")]
Sha256: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Curve: TypeAlias = Annotated[FmrCurve | None, PlainValidator(lambda read: None if read is None else _curve(read))]


def _curve(read: Any) -> FmrCurve:
    try:
        return FmrCurve.from_dict(read)
    except InvalidCurve as error:
        raise ValueError(f"{error.field}: {error.detail}") from None


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class ModelInput(_Part):
    """A batch of square pictures as float32: (pixel - mean) / std, `mean` and `std` in the order of `channels`."""

    size: int = Field(ge=16, le=4096)
    """pixels"""
    layout: Literal["NCHW", "NHWC"]
    channels: Literal["RGB", "BGR"]
    mean: Three
    std: Three

    @field_validator("std")
    @classmethod
    def _divides(cls, value: Three) -> Three:
        if min(value) <= 0:
            raise ValueError("must be above 0")
        return value


class Template(_Part):
    """Where five points of a face belong in a picture of `size` x `size` pixels: the middle of the eye at the left of
    the picture, of the one at its right, the tip of the nose, the corners of the mouth at the left and at the right."""

    points: tuple[Point, Point, Point, Point, Point]
    size: int = Field(ge=16, le=4096)

    @model_validator(mode="after")
    def _is_a_face(self) -> Template:
        for axis in zip(*self.points, strict=True):
            if not -self.size <= min(axis) <= max(axis) <= 2 * self.size:
                raise ValueError("points: further from the picture than its side")
            if max(axis) - min(axis) < LEAST_SPREAD * self.size:
                raise ValueError(f"points: closer together than {LEAST_SPREAD:g} of the side")
        return self


def _kind(alignment: Any) -> str:
    return NAMED if isinstance(alignment, str) else TEMPLATE


Alignment: TypeAlias = Annotated[
    Annotated[Literal["box", "arcface", "dlib"], Tag(NAMED)] | Annotated[Template, Tag(TEMPLATE)], Discriminator(_kind)
]


class _Manifest(_Part):
    file: FileName
    sha256: Sha256
    input: ModelInput
    source: str = ""
    _path: Path = PrivateAttr(default=Path())

    @property
    def path(self) -> Path:
        """of the manifest"""
        return self._path

    def read_model(self) -> bytes:
        """The model file. Raises InvalidManifest if it is not there, WrongHash if it is not the one that is meant."""
        try:
            content = (self._path.parent / self.file).read_bytes()
        except OSError as error:
            raise InvalidManifest(f"{self.file} cannot be read: {error.strerror}.", field="file") from None
        found = hashlib.sha256(content).hexdigest()
        if found != self.sha256:
            raise WrongHash(
                f"{self.file} has the SHA-256 {found}; its manifest says {self.sha256}.",
                field="sha256",
                limit=self.sha256,
            )
        return content


class EncoderManifest(_Manifest):
    kind: Literal["encoder"]
    space: Name
    dimension: int = Field(ge=2, le=4096)
    alignment: Alignment
    """how a face is cut out: the detector's square, or five points laid on a template (ArcFace's, dlib's, one's own)"""
    margin: float = Field(0.0, ge=0, le=2)
    """of "box": what is added to the square, in parts of its side, half of it on each side"""
    curve: Curve = None
    """None: none was measured; `facegrid calibrate` does"""

    @field_validator("space")
    @classmethod
    def _is_free(cls, value: str) -> str:
        if NAME.fullmatch(value) is None:
            raise ValueError(f"must be {NAME_RULE}")
        if value == DLIB_SPACE:
            raise ValueError(f"{DLIB_SPACE} is dlib's own; a model of another kind needs another name")
        return value

    @field_validator("input")
    @classmethod
    def _of_a_face(cls, value: ModelInput) -> ModelInput:
        if value.size > LARGEST_FACE:
            raise ValueError(f"size: a face has {LARGEST_FACE} pixels at most")
        return value

    @model_validator(mode="after")
    def _margin_of_a_box(self) -> EncoderManifest:
        if self.margin and self.alignment != "box":
            raise ValueError('margin: only the alignment "box" has one')
        return self


class DetectorManifest(_Manifest):
    kind: Literal["detector"]
    name: Name
    style: Literal["yunet", "scrfd"]
    """what its outputs mean"""
    min_score: float = Field(0.6, gt=0, lt=1)
    """0 to 1; what scores less is no face"""
    nms: float = Field(0.4, gt=0, le=1)
    """of two boxes that overlap by more (intersection over union), the one with the lower score goes"""

    @field_validator("name")
    @classmethod
    def _is_free(cls, value: str) -> str:
        if NAME.fullmatch(value) is None or value == DLIB_DETECTOR:
            raise ValueError(f"must be {NAME_RULE}, and not {DLIB_DETECTOR}")
        return value


Manifest: TypeAlias = EncoderManifest | DetectorManifest
_ANY: TypeAdapter[Manifest] = TypeAdapter(Annotated[Manifest, Field(discriminator="kind")])


@dataclass(frozen=True, slots=True)
class Models:
    """Every manifest of a folder."""

    encoders: Mapping[str, EncoderManifest] = field(default_factory=dict)
    """by space"""
    detectors: Mapping[str, DetectorManifest] = field(default_factory=dict)
    """by name"""

    def detector(self, name: str) -> DetectorManifest | None:
        """The one of that name; None: dlib's. Raises InvalidManifest naming those there are."""
        if name == DLIB_DETECTOR:
            return None
        if name not in self.detectors:
            known = sorted({DLIB_DETECTOR, *self.detectors})
            raise InvalidManifest(f"There is no detector {name}; there are {', '.join(known)}.", field="detector")
        return self.detectors[name]


def read_manifest(path: Path) -> Manifest:
    """Raises InvalidManifest naming the file and the field. The model itself is not looked at yet."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            detail = f"{path.name} is larger than {MOST_BYTES} bytes, which no manifest is."
            raise InvalidManifest(detail, field="models", limit=MOST_BYTES)
        found = _ANY.validate_json(content)
    except OSError as error:
        raise InvalidManifest(f"{path.name} cannot be read: {error.strerror}.", field="models") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"] if part not in UNSAID) or "manifest"
        what = first["msg"].removeprefix("Value error, ").removesuffix(".")
        raise InvalidManifest(f"{path.name}: {where}: {what}.", field=where) from None
    found._path = path
    return found


def read_models(folder: str) -> Models:
    """Every manifest of the folder; none where `folder` is empty. Raises InvalidManifest."""
    encoders: dict[str, EncoderManifest] = {}
    detectors: dict[str, DetectorManifest] = {}
    for path in _manifests(Path(folder)) if folder else ():
        manifest = read_manifest(path)
        if isinstance(manifest, EncoderManifest):
            _add(encoders, manifest.space, manifest, path)
        else:
            _add(detectors, manifest.name, manifest, path)
    return Models(encoders, detectors)


def _manifests(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InvalidManifest(f"{folder} is no folder of models.", field="models")
    return sorted(path for path in folder.glob("*.json") if not path.name.endswith(CURVE_SUFFIX))


def _add(known: dict[str, Any], name: str, manifest: Manifest, path: Path) -> None:
    if name in known:
        raise InvalidManifest(f"{path.name}: {name} is the name of another manifest too.", field="models")
    known[name] = manifest
