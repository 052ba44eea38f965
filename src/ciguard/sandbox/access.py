"""Which files the agent may read and write: a table of paths, and what it means at each level.

The access to a path is that of the longest path of the table that it lies at or below. Paths are absolute and free of
symbolic links; ``/`` is always in the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Access(StrEnum):
    """What the agent may do with a file or with everything below a directory."""

    HIDDEN = "hidden"
    READABLE = "readable"
    WRITABLE = "writable"


Table = Mapping[str, Access]


class Unenforceable(Exception):
    """Landlock only adds rights on the way down: what lies in a writable directory is writable."""

    def __init__(self, path: str, within: str, access: Access) -> None:
        super().__init__(f"{path} cannot be {access} inside of {within}, which is writable")
        self.path = path
        self.within = within


@dataclass(frozen=True, slots=True)
class Grant:
    """A right that Landlock gives on a file, or on a directory and everything below it."""

    path: str
    access: Access


def below(path: str, directory: str) -> bool:
    """Whether ``path`` lies below ``directory``, by their letters."""
    return path != directory and path.startswith(directory.rstrip("/") + "/")


def access_to(table: Table, path: str) -> Access:
    """The access to ``path``."""
    return table[governing(table, path)]


def governing(table: Table, path: str) -> str:
    """The longest path of ``table`` that ``path`` lies at or below."""
    return max((key for key in table if key == path or below(path, key)), key=len)


def changes(table: Table) -> Iterator[tuple[str, Access]]:
    """The entries that differ from what they lie in, outermost first."""
    for path in sorted(table):
        if path != "/" and table[path] is not access_to(table, path.rpartition("/")[0] or "/"):
            yield path, table[path]


def grants(table: Table, children: Callable[[str], Iterable[str]]) -> list[Grant]:
    """The rights that make up ``table`` where rights can only be added.

    A readable directory with something hidden below is granted child by child, so what is created beside those later
    stays out of reach. ``children`` lists the paths in a directory without symbolic links; empty for a file. Raises
    Unenforceable when something is less than writable inside of a writable directory.
    """
    entries = dict([("/", table["/"]), *changes(table)])

    def granted(path: str) -> Iterator[Grant]:
        access = access_to(entries, path)
        exceptions = [other for other in entries if below(other, path)]
        if access is Access.WRITABLE or not any(entries[other] is Access.HIDDEN for other in exceptions):
            yield Grant(path, access)
            return
        for child in children(path):
            if child not in entries:
                yield from granted(child)

    for path, access in entries.items():
        parent = governing(entries, path.rpartition("/")[0] or "/") if path != "/" else path
        if path != "/" and entries[parent] is Access.WRITABLE:
            raise Unenforceable(path, parent, access)
    return [grant for path, access in entries.items() if access is not Access.HIDDEN for grant in granted(path)]
