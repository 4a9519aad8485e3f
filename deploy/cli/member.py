"""`member`: customers known by name, and which faces are theirs."""

# ruff: noqa: PLR0913  # the options of a command are its parameters

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape

from common.limits import NAME, NAME_RULE
from deploy.cli.options import DEFAULT_URL, FriendlyGroup, Key, StoreName, Url, a_name, address
from deploy.cli.output import say, table
from deploy.client.members import MemberClient

member = typer.Typer(cls=FriendlyGroup, no_args_is_help=True, help="Members: profiles, and the faces that are theirs.")

MemberId = Annotated[str, typer.Argument(metavar="MEMBER", callback=a_name, help="The member's id.")]
FaceId = Annotated[str, typer.Argument(metavar="FACE", callback=a_name, help="The face's id at that store.")]


def pairs(values: list[str]) -> dict[str, str]:
    """`["language=en"]` as a dictionary; a usage error for anything else."""
    found: dict[str, str] = {}
    for value in values:
        key, equals, text = value.partition("=")
        if not equals or key in found:
            raise typer.BadParameter(f"{value!r} is not KEY=VALUE, each key once.", param_hint="--attribute")
        if NAME.fullmatch(key) is None:
            raise typer.BadParameter(f"The key {key!r} is not {NAME_RULE}.", param_hint="--attribute")
        found[key] = text
    return found


def client(url: str, key: str) -> MemberClient:
    return MemberClient(*address(url, key))


@member.command("put")
def put_member(
    member_id: MemberId,
    name: Annotated[str, typer.Option("--name", help="What the checkout shows.")],
    *,
    tier: Annotated[str | None, typer.Option(help="Such as gold.")] = None,
    external_id: Annotated[str | None, typer.Option(help="The member's number in another system.")] = None,
    attribute: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="Anything else; repeat it.")] = None,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Create a member, or replace the whole profile of one that is there."""
    profile: dict[str, Any] = {"display_name": name, "attributes": pairs(attribute or [])}
    optional = {"tier": tier, "external_id": external_id}
    with client(url, key) as gateway:
        new = gateway.put_member(member_id, profile | {k: v for k, v in optional.items() if v is not None})
    say(f"Member {member_id} is created." if new else f"Member {member_id} was there; the profile is as given now.")


@member.command("show")
def show_member(member_id: MemberId, url: Url = DEFAULT_URL, key: Key = "") -> None:
    """Show a member's profile and faces."""
    with client(url, key) as gateway:
        found = gateway.member(member_id)
        faces = gateway.member_faces(member_id)
    profile = {"name": found["display_name"], "tier": found["tier"], "external id": found["external_id"]}
    rows = [*profile.items(), *found["attributes"].items()]
    table("", ["member", member_id], [[escape(name), escape(value or "-")] for name, value in rows])
    if not faces:
        say("No face is bound yet. `facegrid member bind` binds one.")
        return
    table("", ["store", "face", "kind"], [[face["store"], face["face_id"], face["kind"]] for face in faces])


@member.command("list")
def list_members(url: Url = DEFAULT_URL, key: Key = "") -> None:
    """List the members."""
    with client(url, key) as gateway:
        found = {one["member_id"]: one for one in gateway.members()}
    if not found:
        say("There is no member yet. `facegrid member put MEMBER --name NAME` creates one.")
        return
    rows = [
        [member_id, escape(one["display_name"]), escape(one["tier"] or "-"), escape(one["external_id"] or "-")]
        for member_id, one in sorted(found.items())
    ]
    table("", ["member", "name", "tier", "external id"], rows)


@member.command("delete")
def delete_member(member_id: MemberId, url: Url = DEFAULT_URL, key: Key = "") -> None:
    """Delete a member. Its faces stay enrolled, as visitors."""
    with client(url, key) as gateway:
        gateway.delete_member(member_id)
    say(f"Member {member_id} is deleted; its faces are visitors now.")


@member.command("bind")
def bind(member_id: MemberId, store: StoreName, face_id: FaceId, url: Url = DEFAULT_URL, key: Key = "") -> None:
    """This face is the member's. It leaves the member that it was bound to before."""
    with client(url, key) as gateway:
        done = gateway.bind(member_id, store, face_id)
    say(f"Face {face_id} of store {store} is member {member_id}'s." + _later(visible=done["visible"]))


@member.command("unbind")
def unbind(member_id: MemberId, store: StoreName, face_id: FaceId, url: Url = DEFAULT_URL, key: Key = "") -> None:
    """This face is not the member's. It stays enrolled."""
    with client(url, key) as gateway:
        done = gateway.unbind(member_id, store, face_id)
    who = "staff" if done["kind"] == "staff" else "a visitor"
    say(f"Face {face_id} of store {store} is {who} now." + _later(visible=done["visible"]))


def _later(*, visible: bool) -> str:
    return "" if visible else " Searches see it as soon as every replica does."
