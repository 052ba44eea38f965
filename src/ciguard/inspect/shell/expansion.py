"""What words become when the shell expands them: braces, variables, substitutions, then the split into fields.

POSIX.1-2024 XCU 2.6 and bash's manual, "Shell Expansions". A variable can have several possible values (it was set in
an arm of an if); a word then has alternatives, at most ALTERNATIVES of them.
"""

from __future__ import annotations

import fnmatch
import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol

from ciguard.inspect.shell.command import NO_ORIGINS, Word
from ciguard.inspect.shell.trait import Trait
from ciguard.inspect.shell.tree import (
    Computed,
    Part,
    ProcessSubstitution,
    RawWord,
    Sequence,
    Substitution,
    Text,
    Variable,
)

ALTERNATIVES = 8
"""Possible values of one word that are followed."""

LONGEST_VALUE = 16_384
"""Characters of a value that are followed; a longer one is not known."""

_SHOWN = 200

_BRACES = 64
_EDITED = 256
_RANGE = re.compile(r"(-?\d{1,4}|[A-Za-z])\.\.(-?\d{1,4}|[A-Za-z])")


class Surroundings(Protocol):
    """What words are expanded in."""

    def values(self, name: str) -> tuple[Word, ...]:
        """The possible values of a variable or positional parameter; none when it is not known."""
        ...

    def positional(self) -> tuple[Word, ...] | None:
        """What ``$@`` stands for; None when it is not known."""
        ...

    def assign(self, name: str, values: tuple[Word, ...]) -> None:
        """Give a variable its possible values."""
        ...

    def output(self, body: Sequence) -> Word:
        """What the commands of a substitution write."""
        ...

    def spend(self, characters: int) -> None:
        """Count what expansion makes; it may raise when that is too much."""
        ...


class _Kind(Enum):
    BARE = "bare"
    QUOTED = "quoted"
    SPLIT = "split"
    BREAK = "break"


@dataclass(frozen=True, slots=True)
class _Atom:
    text: str
    kind: _Kind
    known: bool = True
    origins: frozenset[Trait] = NO_ORIGINS


_BREAK = _Atom("", _Kind.BREAK)


def fields(raw: RawWord, surroundings: Surroundings) -> list[tuple[Word, ...]]:
    """The alternatives of a word of a command; each is the fields that the word becomes."""
    braced = _braced(raw)
    if braced is None:
        return [(replace(_word(_first(_atoms(raw, surroundings))), literal=False),)]
    parts = [[_fields(atoms) for atoms in _atoms(word, surroundings)] for word in braced]
    products = itertools.islice(itertools.product(*parts), ALTERNATIVES)
    return [tuple(itertools.chain.from_iterable(product)) for product in products]


def values(raw: RawWord, surroundings: Surroundings) -> tuple[Word, ...]:
    """The alternatives of a word that is not split: of an assignment, a redirection, a here-document."""
    found = [replace(_word(atoms), pattern=False) for atoms in _atoms(raw, surroundings)]
    return tuple(dict.fromkeys(found))


def joined(words: Iterable[Word], separator: str = "") -> Word:
    """``words`` as one."""
    words = list(words)
    text = separator.join(word.text for word in words)
    literal = all(word.literal for word in words)
    origins = NO_ORIGINS.union(*(word.origins for word in words))
    if len(text) > LONGEST_VALUE:
        return Word(text[:_SHOWN], literal=False, origins=origins)
    return Word(text, literal=literal, pattern=any(word.pattern for word in words), origins=origins)


def _first(alternatives: list[list[_Atom]]) -> list[_Atom]:
    return alternatives[0]


def _atoms(raw: RawWord, surroundings: Surroundings) -> list[list[_Atom]]:
    """The alternatives of ``raw``, each as a row of atoms; at least one."""
    rows: list[list[_Atom]] = [[]]
    for part in raw:
        choices = _part(part, surroundings)
        surroundings.spend(sum(len(atom.text) + 1 for choice in choices for atom in choice) * len(rows))
        if len(choices) == 1:
            for row in rows:
                row.extend(choices[0])
        else:
            rows = [[*row, *choice] for row in rows for choice in choices][:ALTERNATIVES]
    return rows


def _part(part: Part, surroundings: Surroundings) -> list[list[_Atom]]:
    match part:
        case Text(text, quoted):
            return [[_Atom(text, _Kind.QUOTED if quoted else _Kind.BARE)]]
        case Variable():
            return _variable(part, surroundings)
        case Substitution(body, quoted, source):
            output = surroundings.output(body)
            kind = _Kind.QUOTED if quoted else _Kind.SPLIT
            text = output.text.rstrip("\n") if output.literal else source
            return [[_Atom(text, kind, output.literal, output.origins)]]
        case ProcessSubstitution(body, source, _):
            output = surroundings.output(body)
            return [[_Atom(source, _Kind.QUOTED, False, output.origins)]]
        case Computed(source, inner):
            origins = NO_ORIGINS.union(*(atom.origins for atom in _first(_atoms(inner, surroundings))))
            return [[_Atom(source, _Kind.QUOTED, False, origins)]]


def _variable(variable: Variable, surroundings: Surroundings) -> list[list[_Atom]]:
    kind = _Kind.QUOTED if variable.quoted else _Kind.SPLIT
    operand = variable.operand
    if variable.name in ("@", "*") and not variable.operator:
        return [_positional(variable, kind, surroundings)]
    found = surroundings.values(variable.name)
    unknown = [[_Atom(variable.source, kind, known=False)]]
    match variable.operator:
        case "" | "?" | ":?":
            pass
        case ":-" | "-":
            found = found or values(operand, surroundings)
        case ":=" | "=":
            if not found:
                found = values(operand, surroundings)
                surroundings.assign(variable.name, found)
        case ":+" | "+":
            found = values(operand, surroundings)
        case "!":
            found = tuple(value for name in found if name.literal for value in surroundings.values(name.text))
        case _:
            operands = values(operand, surroundings)
            edited = [_edited(value, variable.operator, operands[0]) for value in found]
            found = tuple(value for value in edited if value is not None)
            if len(found) < len(edited):
                return unknown
    return [[_Atom(value.text, kind, value.literal, value.origins)] for value in found] or unknown


def _positional(variable: Variable, kind: _Kind, surroundings: Surroundings) -> list[_Atom]:
    words = surroundings.positional()
    if words is None:
        return [_Atom(variable.source, kind, known=False)]
    atoms: list[_Atom] = []
    for word in words:
        atoms += [_BREAK, _Atom(word.text, kind, word.literal, word.origins)]
    return atoms[1:]


def _edited(value: Word, operator: str, operand: Word) -> Word | None:
    """``${value operator operand}``; None when that is not known."""
    if not value.literal or not operand.literal or len(value.text) > _EDITED or len(operand.text) > _EDITED:
        return None
    text = value.text
    match operator:
        case ":":
            text = _slice(text, operand.text) or ""
        case "^^" | "^":
            text = text.upper() if operator == "^^" else text[:1].upper() + text[1:]
        case ",," | ",":
            text = text.lower() if operator == ",," else text[:1].lower() + text[1:]
        case "/" | "//":
            pattern, _, replacement = operand.text.partition("/")
            if not pattern or set(pattern) & set("*?[#%"):
                return None
            text = text.replace(pattern, replacement, -1 if operator == "//" else 1)
        case "#" | "##" | "%" | "%%":
            text = _trimmed(text, operator, operand.text)
        case _:
            return None
    return replace(value, text=text)


def _slice(text: str, operand: str) -> str | None:
    match = re.fullmatch(r"\s*(-?\d{1,4})\s*(?::\s*(-?\d{1,4})\s*)?", operand)
    if match is None:
        return None
    start = int(match[1]) if int(match[1]) >= 0 else max(len(text) + int(match[1]), 0)
    if match[2] is None:
        return text[start:]
    length = int(match[2])
    return text[start:length] if length < 0 else text[start : start + length]


def _trimmed(text: str, operator: str, pattern: str) -> str:
    ends = range(len(text) + 1) if operator in ("#", "%%") else range(len(text), -1, -1)
    for end in ends:
        if operator[0] == "#" and fnmatch.fnmatchcase(text[:end], pattern):
            return text[end:]
        if operator[0] == "%" and fnmatch.fnmatchcase(text[end:], pattern):
            return text[:end]
    return text


def _fields(atoms: list[_Atom]) -> tuple[Word, ...]:
    found: list[Word] = []
    current: list[_Atom] = []

    def flush() -> None:
        if current:
            found.append(_word(current))
            current.clear()

    for atom in atoms:
        if atom.kind is _Kind.BREAK:
            flush()
        elif atom.kind is _Kind.SPLIT and atom.known:
            pieces = re.split(r"[ \t\n]+", atom.text)
            for index, piece in enumerate(pieces):
                if index:
                    flush()
                if piece:
                    current.append(replace(atom, text=piece))
        else:
            current.append(atom)
    flush()
    return tuple(found)


def _word(atoms: list[_Atom]) -> Word:
    text = "".join(atom.text for atom in atoms)
    followed = len(text) <= LONGEST_VALUE or len(atoms) == 1
    return Word(
        text if followed else text[:_SHOWN],
        literal=followed and all(atom.known for atom in atoms),
        pattern=any(
            atom.known and atom.kind in (_Kind.BARE, _Kind.SPLIT) and not {"*", "?", "["}.isdisjoint(atom.text)
            for atom in atoms
        ),
        origins=NO_ORIGINS.union(*(atom.origins for atom in atoms)),
    )


def _braced(raw: RawWord) -> list[RawWord] | None:
    """The words that ``{a,b}`` and ``{1..3}`` in ``raw`` stand for; None when they are too many."""
    opened = sum(part.text.count("{") for part in raw if isinstance(part, Text) and not part.quoted)
    if not opened:
        return [raw]
    if opened > _BRACES:
        return None
    tokens: list[Part] = []
    for part in raw:
        if isinstance(part, Text) and not part.quoted:
            tokens += (Text(piece, quoted=False) for piece in re.findall(r"[{},]|[^{},]+", part.text))
        else:
            tokens.append(part)
    found = _brace_words(tokens, 0)
    return None if len(found) > _BRACES else [tuple(word) for word in found]


def _brace_words(tokens: list[Part], depth: int) -> list[list[Part]]:
    for start, token in enumerate(tokens):
        if not _is_bare(token, "{") or depth > 8:
            continue
        level, commas, end = 0, [start], None
        for index in range(start, len(tokens)):
            if _is_bare(tokens[index], "{"):
                level += 1
            elif _is_bare(tokens[index], "}"):
                level -= 1
                if level == 0:
                    end = index
                    break
            elif level == 1 and _is_bare(tokens[index], ","):
                commas.append(index)
        if end is None:
            continue
        choices = _choices(tokens, commas, end, depth)
        if choices is None:
            continue
        rests = _brace_words(tokens[end + 1 :], depth)
        products = ([*tokens[:start], *choice, *rest] for choice in choices for rest in rests)
        return list(itertools.islice(products, _BRACES + 1))
    return [tokens]


def _choices(tokens: list[Part], commas: list[int], end: int, depth: int) -> list[list[Part]] | None:
    if len(commas) > 1:
        bounds = itertools.pairwise([*commas, end])
        return [word for start, stop in bounds for word in _brace_words(tokens[start + 1 : stop], depth + 1)]
    inner = tokens[commas[0] + 1 : end]
    match = _RANGE.fullmatch(inner[0].text) if len(inner) == 1 and isinstance(inner[0], Text) else None
    if match is None or match[1].lstrip("-").isdigit() != match[2].lstrip("-").isdigit():
        return None
    digits = match[1].lstrip("-").isdigit()
    first, last = (int(match[1]), int(match[2])) if digits else (ord(match[1]), ord(match[2]))
    numbers = range(first, last + 1) if first <= last else range(first, last - 1, -1)
    shown = (str(number) if digits else chr(number) for number in itertools.islice(numbers, _BRACES + 1))
    return [[Text(text, quoted=False)] for text in shown]


def _is_bare(part: Part, text: str) -> bool:
    return isinstance(part, Text) and not part.quoted and part.text == text
