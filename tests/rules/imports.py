"""Who may import what, read from the source without running it. A rule answers with its violations, as sentences."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch

OUR_PACKAGES = frozenset({"gateway", "shard", "common", "deploy", "tests"})


@dataclass(frozen=True, slots=True)
class Import:
    module: str
    """dotted, with the name imported from it: `from a import b` is `a.b`; a relative one begins with a dot"""
    line: int

    @property
    def root(self) -> str:
        return self.module.partition(".")[0]


def imports_of(source: str) -> list[Import]:
    """Every import of a module, wherever it stands: for types only, in a function, by a call with a literal name."""
    return [found for node in ast.walk(ast.parse(source)) for found in _imports(node)]


def _imports(node: ast.AST) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        yield from (Import(alias.name, node.lineno) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        origin = "." * node.level + (node.module or "")
        yield from (Import(f"{origin}.{alias.name}", node.lineno) for alias in node.names)
    elif isinstance(node, ast.Call) and _name(node.func) in {"__import__", "import_module"}:
        yield from (Import(str(name.value), node.lineno) for name in node.args[:1] if isinstance(name, ast.Constant))


def _name(node: ast.expr) -> str:
    """The last part of a name or attribute: `import_module` for `importlib.import_module`."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def against_direction(path: str, source: str, may_import: Mapping[str, frozenset[str]]) -> list[str]:
    """Imports of our own packages that the package of `path` may not have. Nothing may be imported relatively."""
    package = path.partition("/")[0]
    forbidden = OUR_PACKAGES - may_import[package] - {package}
    return [
        f"{path}:{found.line}: {package} must not import {found.module}"
        for found in imports_of(source)
        if found.root in forbidden or found.root == ""
    ]


def against_ownership(path: str, source: str, owners: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Imports of a library that has owners, by a file that matches none of them (globs)."""
    return [
        f"{path}:{found.line}: only {', '.join(owners[found.root]) or 'nobody'} may import {found.root}"
        for found in imports_of(source)
        if found.root in owners and not _matches(path, owners[found.root])
    ]


def reads_of_environment(path: str, source: str, readers: tuple[str, ...]) -> list[str]:
    """Uses of os.environ or os.getenv by a file that matches none of the readers (globs)."""
    if _matches(path, readers):
        return []
    names = {"environ", "environb", "getenv", "getenvb"}
    used = [node.lineno for node in ast.walk(ast.parse(source)) if isinstance(node, ast.expr) and _name(node) in names]
    taken = [found.line for found in imports_of(source) if found.module in {f"os.{name}" for name in names}]
    return [f"{path}:{line}: only settings read the environment" for line in sorted({*used, *taken})]


def scans_of_redis(path: str, source: str, scanner: str) -> list[str]:
    """Calls of redis-py's scanning methods anywhere but in the scanner."""
    scans = {f"{kind}scan{form}" for kind in ("", "h", "s", "z") for form in ("", "_iter")}
    called = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute) and node.attr in scans)
    return [f"{path}:{node.lineno}: only {scanner} scans" for node in called if path != scanner]


def _matches(path: str, globs: tuple[str, ...]) -> bool:
    return any(fnmatch(path, glob) for glob in globs)
