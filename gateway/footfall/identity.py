"""Who counts as one person, and under which name: a member with all faces bound to them, else each face. Staff do not
count.

To whom a face belongs is looked up when figures are asked for, so that a binding, or making somebody staff, changes
past figures too. A person whose face was erased stays a person of their own ("~v…", "~m…", "~s…").
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from common.persons import Person
from common.types import Kind

ANONYMOUS, ANONYMOUS_MEMBER, ANONYMOUS_STAFF = "~", "~m", "~s"
MEMBER = "m:"


@dataclass(frozen=True, slots=True)
class Identities:
    """Of person keys, as visits have them."""

    of_key: dict[str, str] = field(default_factory=dict)
    """key → name; without staff"""
    members: set[str] = field(default_factory=set)
    """names"""

    def keys_of(self, names: Iterable[str]) -> dict[str, list[str]]:
        """Name → all its keys here."""
        wanted = set(names)
        found: defaultdict[str, list[str]] = defaultdict(list)
        for key, name in self.of_key.items():
            if name in wanted:
                found[name].append(key)
        return dict(found)


def identify(keys: Iterable[str], known: Mapping[str, Person]) -> Identities:
    """`known` holds the faces that are there."""
    found = Identities()
    for key in keys:
        name, member = _identity(key, known.get(key))
        if name is not None:
            found.of_key[key] = name
            if member:
                found.members.add(name)
    return found


def _identity(key: str, person: Person | None) -> tuple[str | None, bool]:
    if person is None:
        return (None if key.startswith(ANONYMOUS_STAFF) else key), key.startswith(ANONYMOUS_MEMBER)
    match person.kind:
        case Kind.STAFF:
            return None, False
        case Kind.MEMBER:
            return (MEMBER + person.member_id if person.member_id else key), True
        case Kind.VISITOR:
            return key, False


def member_of(name: str) -> str | None:
    """The member_id, if faces are bound to it."""
    return name.removeprefix(MEMBER) if name.startswith(MEMBER) else None
