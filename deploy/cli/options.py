"""Options and arguments that several commands share, and the one place where failures become messages."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from pydantic import ValidationError
from typer.core import TyperGroup

from common.errors import FacegridError
from common.limits import NAME, NAME_RULE
from common.truth import check_url
from deploy.cli.output import complain, say
from deploy.client.enrolment import as_upload
from deploy.client.http import Client, ClientError, GatewayAway, Problem, Upload, may_pass
from deploy.client.photos import Photo
from deploy.local.cluster import ClusterError, PortTaken
from deploy.local.data_folder import DataInUse

NEXT_STEP = {
    "UNAUTHORIZED": "Give a key with --key, or in the environment variable FACEGRID_KEY.",
    "UNKNOWN_STORE": "`facegrid stores` lists the stores; `facegrid stores add NAME` creates one.",
    "UNKNOWN_FACE": "GET /v1/stores/STORE/faces lists the faces of a store.",
    "UNKNOWN_MEMBER": "`facegrid member list` lists the members; `facegrid member put` creates one.",
    "UNKNOWN_SHARD": "`facegrid shards` lists the shards.",
    "STORE_NOT_EMPTY": "To erase its faces too: `facegrid stores remove NAME --force`.",
    "NO_LIVE_SHARD": "`facegrid shards` shows what is alive; `facegrid up` starts a whole cluster.",
    "TRUTH_UNAVAILABLE": "Is the Redis server running? Searches still work; writes are refused until it is back.",
    "ENCODER_BUSY": "Try again in a moment, or raise FACEGRID_ENCODER_WORKERS or FACEGRID_ENCODER_QUEUE.",
}


def a_name(value: str | None) -> str | None:
    """Check the name of a store, group or face where it is typed: a usage error, not a request."""
    if value is not None and NAME.fullmatch(value) is None:
        raise typer.BadParameter(f"{value!r} is not {NAME_RULE}.")
    return value


def a_redis_url(value: str | None) -> str | None:
    """Check it where it is typed, without repeating it: it may hold a password."""
    try:
        check_url(value or "redis://127.0.0.1")
    except ValueError as error:
        raise typer.BadParameter(f"It {error}.") from None
    return value


Url = Annotated[
    str, typer.Option("--url", envvar="FACEGRID_URL", help="Where the gateway is.", rich_help_panel="Gateway")
]
Key = Annotated[
    str,
    typer.Option(
        "--key", envvar="FACEGRID_KEY", help="API key, if the gateway asks for one.", rich_help_panel="Gateway"
    ),
]
StoreName = Annotated[str, typer.Argument(metavar="STORE", callback=a_name, help="Name of the store.")]
PhotoFile = Annotated[Path, typer.Argument(metavar="PHOTO", exists=True, dir_okay=False, help="A photo.")]
Port = Annotated[int, typer.Option(min=1, max=65535, help="Port of the gateway.")]
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""of a write, which knows no file name"""
DEFAULT_URL = "http://127.0.0.1:8000"


class FriendlyGroup(TyperGroup):
    """Turns every failure that was foreseen into a message with the next step, and exit code 1; a bad setting and an
    option in the wrong place into exit code 2."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """An option of the group, given before a command, would not reach the command: `remove` would delete at the
        default URL."""
        found = super().resolve_command(ctx, args)
        for param in ctx.command.params:
            source = ctx.get_parameter_source(param.name)
            if source is not None and source.name == "COMMANDLINE":
                raise typer.BadParameter(f"Give it after `{args[0]}`, not before.", ctx=ctx, param_hint=param.opts[0])
        return found

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except ValidationError as error:
            if not error.title.endswith("Settings"):
                raise
            complain(wrong_settings(error))
            raise typer.Exit(2) from error
        except (ClientError, ClusterError, DataInUse, FacegridError) as error:
            complain(str(error), next_step(error))
            raise typer.Exit(1) from error
        except OSError as error:
            if error.filename is None and error.errno not in NO_ROOM:
                raise
            complain(f"{error.filename or 'A file could not be written'}: {error.strerror}.")
            raise typer.Exit(1) from error


def wrong_settings(error: ValidationError) -> str:
    """In the words of `facegrid gateway`."""
    wrong = [f"FACEGRID_{'_'.join(map(str, one['loc'])).upper()}: {one['msg']}" for one in error.errors()]
    return "; ".join(wrong) + "."


def next_step(error: Exception) -> str:
    """What a person can do about it; empty if the message says it all."""
    match error:
        case GatewayAway():
            return "Start one with `facegrid up`, or name another with --url."
        case Problem(field="timezone"):
            return "Give one with --timezone, such as Europe/Vienna."
        case Problem():
            return NEXT_STEP.get(error.code, "")
        case PortTaken():
            return "Choose another with --port, or stop what is listening there."
        case DataInUse():
            return "Use that cluster, stop it first, or choose another folder with --data."
        case _:
            return ""


def connect(url: str, key: str) -> Client:
    """A client of the gateway; nothing is sent yet. A URL or key that cannot be one is a usage error."""
    return Client(*address(url, key))


def address(url: str, key: str) -> tuple[str, str]:
    """URL and key as a client takes them; a usage error if they cannot be ones."""
    if not url.startswith(("http://", "https://")) or not _host(url):
        raise typer.BadParameter(f"{url!r} is not a URL such as {DEFAULT_URL}.", param_hint="--url")
    key = key.strip()
    if not (key.isascii() and key.isprintable()):
        raise typer.BadParameter("A key has only printable ASCII characters.", param_hint="--key")
    return url, key


def _host(url: str) -> str:
    try:
        return httpx.URL(url).host
    except httpx.InvalidURL:
        return ""


def say_unfinished(error: BaseException) -> None:
    """What to do after a command that ended early and finds by itself where it was, if a repetition helps."""
    if may_pass(error):
        say("Not finished: run the same command again, it continues.")


def naming(problem: Problem, photos: Sequence[Path]) -> Problem:
    """The problem in the words of who gave the photos: the file instead of its number in the request."""
    if problem.photo is None or problem.photo >= len(photos):
        return problem
    name = str(photos[problem.photo])
    told = problem.detail.replace(problem.field, name)
    detail = told if told != problem.detail else f"{name}: {told}"
    return Problem(problem.status, {"code": problem.code, "detail": detail})


def upload(path: Path) -> Upload:
    """The photo as it is sent; ClientError if the file cannot be read."""
    try:
        return as_upload(Photo(str(path), path))
    except OSError as error:
        raise ClientError(f"{path} cannot be read: {error.strerror}.") from error
