from __future__ import annotations

import pytest

from ciguard.inspect.sql_statement import Statement, StatementKind
from ciguard.policy.sql_matching import sql_matches
from tests.unit.policy.sources import loaded

DELETE, SELECT = StatementKind.DELETE, StatementKind.SELECT


def matches(matcher: str, *statements: Statement) -> bool:
    sql = loaded(f"rules: [{{id: r, on: [sql], sql: {matcher}}}]").rules[0].sql
    assert sql is not None
    return sql_matches(sql, statements)


@pytest.mark.parametrize(
    ("matcher", "statement", "matched"),
    [
        ("{statements: [delete]}", Statement(DELETE, ("t",), has_where=True), True),
        ("{statements: [select]}", Statement(DELETE, ("t",)), False),
        ("{without_where: [delete]}", Statement(DELETE, ("t",)), True),
        ("{without_where: [delete]}", Statement(DELETE, ("t",), has_where=True), False),
        ("{without_where: [update]}", Statement(DELETE, ("t",)), False),
        ("{statements: [unknown]}", Statement(StatementKind.UNKNOWN), True),
        ("{statements: [delete], tables: [t]}", Statement(DELETE, ("t",)), True),
        ("{statements: [delete], tables: [u, t]}", Statement(DELETE, ("a", "t")), True),
        ("{statements: [delete], tables: [u]}", Statement(DELETE, ("t",)), False),
        ("{without_where: [delete], tables: [u]}", Statement(DELETE, ("t",)), False),
        ("{statements: [delete], tables: [T]}", Statement(DELETE, ("t",)), True),
        ("{statements: [delete], tables: ['pay*']}", Statement(DELETE, ("payments",)), True),
        ("{statements: [delete], tables: [t]}", Statement(DELETE, ("a.t",)), True),
        ("{statements: [delete], tables: [a.t]}", Statement(DELETE, ("b.t",)), False),
        ("{statements: [delete], tables: ['a.*']}", Statement(DELETE, ("a.t",)), True),
        ("{statements: [delete], tables: ['a.*']}", Statement(DELETE, ("b.t",)), False),
        # A name without schema can be in any, and a statement of unknown tables can be on any.
        ("{statements: [delete], tables: [a.t]}", Statement(DELETE, ("t",)), True),
        ("{statements: [delete], tables: [a.t]}", Statement(DELETE), True),
        # What is known to be on no table is not on this one.
        ("{statements: [select], tables: [t]}", Statement(SELECT, ()), False),
    ],
)
def test_kinds_tables_and_restriction(matcher: str, statement: Statement, *, matched: bool) -> None:
    assert matches(matcher, statement) is matched


def test_one_statement_must_be_of_the_kind_and_on_the_table() -> None:
    matcher = "{statements: [delete], tables: [t]}"
    assert not matches(matcher, Statement(DELETE, ("u",)), Statement(SELECT, ("t",)))
    assert not matches(matcher)
