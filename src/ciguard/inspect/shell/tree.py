"""A shell script as a tree: words with their parts, commands, and what holds commands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ciguard.inspect.shell.command import Access


@dataclass(frozen=True, slots=True)
class Text:
    """Characters that stand for themselves."""

    text: str
    quoted: bool


@dataclass(frozen=True, slots=True)
class Variable:
    """``$name`` or ``${name operator operand}``; ``source`` is how the script writes it."""

    name: str
    quoted: bool
    source: str
    operator: str = ""
    operand: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class Substitution:
    """``$(...)`` or backquotes."""

    body: Sequence
    quoted: bool
    source: str


@dataclass(frozen=True, slots=True)
class ProcessSubstitution:
    """``<(...)`` or ``>(...)``."""

    body: Sequence
    source: str
    reads: bool


@dataclass(frozen=True, slots=True)
class Computed:
    """A value that only running tells, such as ``$((...))``; ``inner`` are the parts within it."""

    source: str
    inner: tuple[Part, ...]


Part: TypeAlias = "Text | Variable | Substitution | ProcessSubstitution | Computed"
RawWord: TypeAlias = "tuple[Part, ...]"


@dataclass(frozen=True, slots=True)
class FileRedirect:
    """``> file`` and its kin."""

    access: Access
    target: RawWord


@dataclass(slots=True)
class HereText:
    """A here-document or here-string; the text of a here-document is filled in once its line has ended."""

    body: RawWord


Redirect: TypeAlias = "FileRedirect | HereText"


@dataclass(frozen=True, slots=True)
class Assignment:
    """``name=value``; several values are an array."""

    name: str
    values: tuple[RawWord, ...]
    appends: bool


@dataclass(frozen=True, slots=True)
class Simple:
    """A simple command."""

    assignments: tuple[Assignment, ...]
    words: tuple[RawWord | Assignment, ...]
    redirects: tuple[Redirect, ...]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Commands of which each reads what the one before writes."""

    stages: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Sequence:
    """Commands one after the other."""

    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Optional:
    """Commands that perhaps run, in this order: the arms of if, case and while, the right side of && and ||."""

    nodes: tuple[Node, ...]
    words: tuple[RawWord, ...] = ()


@dataclass(frozen=True, slots=True)
class Loop:
    """``for name in words``; without words it goes over the positional parameters."""

    name: str
    words: tuple[RawWord, ...] | None
    body: Sequence


@dataclass(frozen=True, slots=True)
class Group:
    """A compound command with its redirections; a subshell keeps its variables and its directory to itself."""

    body: Node
    redirects: tuple[Redirect, ...]
    subshell: bool


@dataclass(frozen=True, slots=True)
class Function:
    """A definition of a function."""

    name: str
    body: Node


Node: TypeAlias = "Simple | Pipeline | Sequence | Optional | Loop | Group | Function"
