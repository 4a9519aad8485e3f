"""`encoders`: what photos can be encoded into and by what; `check`: one photo through one of them. Needs no cluster."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from common.errors import FacegridError
from common.settings import EncoderSettings
from common.types import DLIB_DIMENSION, DLIB_SPACE
from deploy.cli.options import FriendlyGroup, PhotoFile, a_name
from deploy.cli.output import complain, say, table

if TYPE_CHECKING:  # their import time is for those who look at encoders
    from gateway.encoder.manifest import EncoderManifest, Models
    from gateway.encoder.types import EncodedFace
    from gateway.fmr import FmrCurve

MILLIONS = 1e6
T = TypeVar("T")
Folder = Annotated[
    Path | None,
    typer.Option(
        "--models", exists=True, file_okay=False, help="Folder of models' manifests; left out: FACEGRID_MODELS."
    ),
]
Space = Annotated[str, typer.Option(callback=a_name, help="Embedding space.")]

encoders = typer.Typer(
    cls=FriendlyGroup,
    invoke_without_command=True,
    help="List the embedding spaces and detectors; `check` one.",
    add_help_option=True,
)


@encoders.callback()
def list_encoders(context: typer.Context, models: Folder = None) -> None:
    """List the embedding spaces and detectors that a gateway here would have; run a photo through one with `check`."""
    if context.invoked_subcommand is not None:
        return
    from gateway.encoder.manifest import DLIB_DETECTOR, read_models  # noqa: PLC0415

    settings = _settings(models)
    found = read_models(settings.models)
    rows = [_row(DLIB_SPACE, DLIB_DIMENSION, "dlib's", "dlib", _dlib_curve(settings.models))]
    rows += [_of_manifest(manifest, settings.models) for _, manifest in sorted(found.encoders.items())]
    columns = ["space", "numbers", "model", "aligned", "people", "pairs", "FMR from"]
    table("", columns, rows, numbers=["numbers", "people", "pairs", "FMR from"])
    detectors = [DLIB_DETECTOR, *sorted(found.detectors)]
    say(f"Detectors: {', '.join(f'{name} (chosen)' if name == settings.detector else name for name in detectors)}.")
    _tell_unused(settings.models, {DLIB_SPACE, *found.encoders})
    _refuse(found, settings)


@encoders.command()
def check(photo: PhotoFile, space: Space = DLIB_SPACE, models: Folder = None) -> None:
    """Run one photo through an encoder: boxes, quality and times. The embedding itself is not shown."""
    from gateway.encoder.decode import decode  # noqa: PLC0415
    from gateway.encoder.loading import load  # noqa: PLC0415
    from gateway.encoder.manifest import Models, read_models  # noqa: PLC0415

    settings = _settings(models)
    found = read_models(settings.models)
    wanted = {name: manifest for name, manifest in found.encoders.items() if name == space}
    if space != DLIB_SPACE and not wanted:
        known = ", ".join(sorted({DLIB_SPACE, *found.encoders}))
        raise typer.BadParameter(f"There is no space {space}; there are {known}.", param_hint="--space")
    steps, loading_ms = timed(lambda: load(settings, Models(wanted, found.detectors)))
    pixels, decoding_ms = timed(lambda: decode(photo.read_bytes(), settings))
    faces = steps.encoder().encode(pixels, space, max_faces=settings.photo_faces, thumbnails=False)
    located, detecting_ms = timed(lambda: steps.detector.locate(pixels))
    _, embedding_ms = timed(lambda: steps.embedders[space].embed(pixels, located))
    say(f"{photo.name}: {pixels.shape[1]} x {pixels.shape[0]} pixels, {len(faces)} faces by {settings.detector}.")
    if faces:
        columns = ["box", "eyes", "sharp", "bright", "yaw", "roll", "score"]
        table("", columns, [_face(face) for face in faces], numbers=columns)
        norms = [float((face.embedding**2).sum()) ** 0.5 for face in faces]
        say(f"{space}: {len(faces[0].embedding)} numbers a face, of length {min(norms):.4f} to {max(norms):.4f}.")
    say(
        f"Loading {loading_ms:.0f} ms, decoding {decoding_ms:.1f} ms, detecting {detecting_ms:.1f} ms, "
        f"aligning and embedding {embedding_ms:.1f} ms."
    )
    if not faces:
        complain(f"No face was found in {photo}.")
        raise typer.Exit(1)


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What it gives, and milliseconds."""
    begun = time.perf_counter()
    result = work()
    return result, 1000 * (time.perf_counter() - begun)


def _settings(models: Path | None) -> EncoderSettings:
    return EncoderSettings() if models is None else EncoderSettings(models=str(models))


def _dlib_curve(folder: str) -> FmrCurve:
    from gateway.spaces import measured_curve, shipped_curve  # noqa: PLC0415

    return measured_curve(DLIB_SPACE, folder) or shipped_curve(DLIB_SPACE)


def _tell_unused(folder: str, spaces: set[str]) -> None:
    """A curve under another name than its space's is not read, and nothing else would say so."""
    from gateway.encoder.manifest import CURVE_SUFFIX  # noqa: PLC0415

    for curve in sorted(Path(folder).glob(f"*{CURVE_SUFFIX}")) if folder else []:
        if curve.name.removesuffix(CURVE_SUFFIX) not in spaces:
            say(f"{curve.name} is of no space that is here: it is not used.", "yellow")


def _of_manifest(manifest: EncoderManifest, folder: str) -> list[str]:
    from gateway.spaces import measured_curve  # noqa: PLC0415

    curve = measured_curve(manifest.space, folder) or manifest.curve
    alignment = manifest.alignment if isinstance(manifest.alignment, str) else "template"
    return _row(manifest.space, manifest.dimension, manifest.file, alignment, curve)


def _row(space: str, dimension: int, model: str, alignment: str, curve: FmrCurve | None) -> list[str]:
    if curve is None:
        return [space, str(dimension), model, alignment, "-", "-", "-"]
    pairs = f"{curve.pairs / MILLIONS:.1f} M" if curve.pairs >= MILLIONS else f"{curve.pairs:,}"
    behind = [f"{curve.people:,}", pairs, f"{curve.points[-1].fmr:.0e}"]
    return [space, str(dimension), model, alignment, *behind]


def _refuse(found: Models, settings: EncoderSettings) -> None:
    """Say what would keep a gateway from starting; exit code 1 if anything would."""
    from gateway.spaces import Spaces  # noqa: PLC0415

    attempts: list[Callable[[], object]] = [lambda: Spaces.load(settings.models)]
    attempts += [manifest.read_model for manifest in (*found.encoders.values(), *found.detectors.values())]
    attempts += [lambda: found.detector(settings.detector)]
    problems = []
    for attempt in attempts:
        try:
            attempt()
        except FacegridError as error:
            problems.append(error)
    for problem in problems:
        complain(f"{problem.detail} [{problem.code}]")
    if problems:
        raise typer.Exit(1)


def _face(face: EncodedFace) -> list[str]:
    box, quality = face.box, face.quality
    return [
        f"{box.left},{box.top} {box.width} x {box.height}",
        f"{quality.eye_distance:.0f}",
        f"{quality.sharpness:.1f}",
        f"{quality.brightness:.0f}",
        f"{quality.yaw:.0f}",
        f"{quality.roll:.0f}",
        f"{quality.confidence:.2f}",
    ]
