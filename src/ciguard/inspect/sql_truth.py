"""Whether a WHERE restricts anything: ``WHERE 1=1`` and ``WHERE id = id OR true`` do not.

The grammars' trees are brought to the few forms below; everything else is ``None``, which counts as restricting.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal; numbers as numbers, so that ``1 = 1.0``."""

    value: str | float | bool


@dataclass(frozen=True, slots=True)
class Column:
    """A column by its name, with what qualifies it."""

    name: tuple[str, ...]

    def is_same(self, other: Column) -> bool:
        """Whether both name one column: a name without its table is that of the one table that has it."""
        return all(one == two for one, two in zip(reversed(self.name), reversed(other.name), strict=False))


@dataclass(frozen=True, slots=True)
class Junction:
    """``word`` (and, or, not) over conditions."""

    word: str
    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two values compared; ``operator`` is one of ``= <> < <= > >= like``."""

    operator: str
    left: Condition
    right: Condition


Condition: TypeAlias = "Constant | Column | Junction | Comparison | None"

_TRUE_WORDS = frozenset({"t", "true", "y", "yes", "on", "1"})
_FALSE_WORDS = frozenset({"f", "false", "n", "no", "off", "0"})
_REFLEXIVE = frozenset({"=", "<=", ">=", "like"})


def truth(condition: Condition) -> bool | None:
    """What ``condition`` is for every row (NULLs aside), None when that depends on the row."""
    match condition:
        case Constant(bool() | int() | float() as value):
            return bool(value)
        case Constant(str() as word):
            return True if word.lower() in _TRUE_WORDS else False if word.lower() in _FALSE_WORDS else None
        case Junction("not", (part,)):
            inner = truth(part)
            return None if inner is None else not inner
        case Junction(word, parts):
            decisive = word == "or"
            truths = {truth(part) for part in parts}
            if decisive in truths:
                return decisive
            return None if None in truths else not decisive
        case Comparison(operator, left, right):
            return _compared(operator, left, right)
        case _:
            return None


def _compared(operator: str, left: Condition, right: Condition) -> bool | None:
    if isinstance(left, Column) and isinstance(right, Column) and left.is_same(right):
        return True if operator in _REFLEXIVE else False if operator in {"<>", "<", ">"} else None
    if operator == "like" and isinstance(right, Constant) and isinstance(right.value, str):
        return True if right.value and not right.value.strip("%") else None
    if not isinstance(left, Constant) or not isinstance(right, Constant):
        return None
    one, other = left.value, right.value
    if operator in {"=", "<>"} and isinstance(one, str) == isinstance(other, str):
        return (one == other) is (operator == "=")
    if isinstance(one, str) or isinstance(other, str):
        return None
    return {"<": one < other, "<=": one <= other, ">": one > other, ">=": one >= other}.get(operator)
