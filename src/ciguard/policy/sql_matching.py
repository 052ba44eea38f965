"""Whether what SQL does is what an ``sql`` matcher looks for."""

from __future__ import annotations

from collections.abc import Iterable

from ciguard.inspect.sql_statement import Statement
from ciguard.policy import globs
from ciguard.policy.rules import SqlMatcher


def sql_matches(matcher: SqlMatcher, statements: Iterable[Statement]) -> bool:
    """Whether one of ``statements`` is of a kind, and on a table, that ``matcher`` names."""
    return any(
        (statement.kind in matcher.statements or (not statement.has_where and statement.kind in matcher.without_where))
        and _on_named_table(matcher, statement)
        for statement in statements
    )


def _on_named_table(matcher: SqlMatcher, statement: Statement) -> bool:
    if matcher.tables is None or statement.tables is None:
        return True
    return any(_is_named(glob.lower(), table) for glob in matcher.tables for table in statement.tables)


def _is_named(glob: str, table: str) -> bool:
    """Whether ``table`` can be one that ``glob`` names: what only one of the two states is not compared."""
    pairs = zip(reversed(glob.split(".")), reversed(table.split(".")), strict=False)
    return all(globs.matches(wanted, part) for wanted, part in pairs)
