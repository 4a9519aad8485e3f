"""`watch`: who comes in, as it happens."""

from __future__ import annotations

import contextlib
import re
from datetime import datetime
from typing import Annotated

import typer

from common.events import EVENT_ID
from deploy.cli.options import DEFAULT_URL, Key, StoreName, Url, connect
from deploy.cli.output import say
from deploy.client.events import CardBody, EventBody, FaceBody, Watch

STYLE = {"arrival": "green", "new_visitor": "cyan", "correction": "yellow"}


def an_event_id(value: str | None) -> str | None:
    if value is not None and re.fullmatch(EVENT_ID, value) is None:
        raise typer.BadParameter(f"{value!r} is not an event id, such as 1795161600123-0.")
    return value


def watch(
    store: StoreName,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="ID", callback=an_event_id, help="Begin after this event; 0: all that are kept; left out: now."
        ),
    ] = None,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Show who comes into the store, live: members, returning visitors, new ones. Ctrl-C ends it."""
    with connect(url, key) as client:
        following = Watch(client.url, key.strip(), lambda what: say(what, "dim"))
    with contextlib.suppress(KeyboardInterrupt):
        for event in following.events(store, since):
            say(line(event), STYLE.get(event["type"], ""))


def line(event: EventBody) -> str:
    """One line: when, who, and what is uncertain about it."""
    marks = [mark for mark, there in (("provisional", event["provisional"]), ("late", event["late"])) if there]
    return "  ".join([_time(event["at"]), who(event), *(f"({mark})" for mark in marks)])


def who(event: EventBody) -> str:
    if event["type"] == "correction":
        return f"{_person(event['face'], event['member'])}, not {_person(event['was'], None)} as said before"
    return _person(event["face"], event["member"], new=event["type"] == "new_visitor")


def _person(face: FaceBody | None, card: CardBody | None, *, new: bool = False) -> str:
    if card is not None:
        return f"{card['display_name']} ({card['tier'] or 'member'}, {card['member_id']})"
    if face is None:
        return "somebody whose face was erased"
    named = f"{face['store']}/{face['face_id']}"
    if new:
        return f"new visitor {named}"
    return f"member {named}" if face["kind"] == "member" else f"returning visitor {named}"


def _time(text: str) -> str:
    """In the time zone of this machine; with the date if it is not today."""
    moment = datetime.fromisoformat(text).astimezone()
    today = datetime.now(moment.tzinfo).date()
    return moment.strftime("%H:%M:%S" if moment.date() == today else "%Y-%m-%d %H:%M:%S")
