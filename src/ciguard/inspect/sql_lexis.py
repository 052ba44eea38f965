"""The words of SQL apart from its strings and comments, by the dialect's own rules of quoting.

This is where statements are hidden: MySQL runs what stands in ``/*!50000 ... */``, does not take ``--x`` for a comment,
and lets a backslash escape a quote; PostgreSQL nests comments and quotes by ``$tag$``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from ciguard.inspect.sql_statement import Dialect

_ESCAPING = frozenset({Dialect.MYSQL, Dialect.BIGQUERY, Dialect.SNOWFLAKE, Dialect.CLICKHOUSE})
_DOLLAR = frozenset({Dialect.POSTGRES, Dialect.SNOWFLAKE, Dialect.DUCKDB})
_NESTING = frozenset({Dialect.ANY, Dialect.POSTGRES, Dialect.TSQL, Dialect.DUCKDB, Dialect.CLICKHOUSE})
_QUOTED_STRINGS = frozenset({Dialect.MYSQL, Dialect.BIGQUERY})
_HASH = frozenset({Dialect.MYSQL, Dialect.BIGQUERY, Dialect.CLICKHOUSE})

_COMMENT_EDGE = re.compile(r"/\*|\*/")

_DIRECTIVES = {
    Dialect.POSTGRES: r"\\(?:[!?;:]|[A-Za-z_]+)[^\n\\]*",
    Dialect.MYSQL: r"\\[!.A-Za-z][^\n]*|(?im:^[ \t]*(?:system|source|delimiter|tee|pager|edit)[ \t][^\n]*)",
    Dialect.SQLITE: r"(?m:^[ \t]*\.[A-Za-z]+[^\n]*)",
    Dialect.DUCKDB: r"(?m:^[ \t]*\.[A-Za-z]+[^\n]*)",
    Dialect.TSQL: r"(?im:^[ \t]*(?:go(?:[ \t]+\d+)?[ \t]*$|:[a-z!]+[^\n]*|!![^\n]*))",
    Dialect.ORACLE: r"(?im:^[ \t]*(?:@[^\n]*|![^\n]*|/[ \t]*$|(?:host|start|spool|set|exec|define)[ \t][^\n]*))",
    Dialect.SNOWFLAKE: r"(?m:^[ \t]*![A-Za-z]+[^\n]*)",
}
"""What the databases' command line clients take for themselves, as their manuals have it."""


@dataclass(frozen=True, slots=True)
class Lexed:
    """A text of SQL: ``sql`` is what the server gets, without comments; ``words`` the same with empty strings;
    ``directives`` what the client does itself. Of MySQL's executable comments only the marks are gone."""

    sql: str
    words: str
    directives: tuple[str, ...]


@cache
def _tokens(dialect: Dialect) -> re.Pattern[str]:
    escape = r"\\[\s\S]|" if dialect in _ESCAPING else ""
    single = rf"'(?:{escape}[^'\\]|''{'' if escape else '|' + chr(92) * 2})*(?:'|\Z)"
    double = rf'"(?:{escape}[^"\\]|""{"" if escape else "|" + chr(92) * 2})*(?:"|\Z)'
    string, name = (f"{single}|{double}", r"`[^`]*(?:`|\Z)") if dialect in _QUOTED_STRINGS else (single, double)
    if dialect is Dialect.POSTGRES:
        string = rf"(?i:\be)'(?:\\[\s\S]|[^'\\]|'')*(?:'|\Z)|{string}"
    if dialect is Dialect.ORACLE:
        string = rf"(?i:\bn?q)'(?:\[[\s\S]*?\]'|\{{[\s\S]*?\}}'|\([\s\S]*?\)'|<[\s\S]*?>')|{string}"
    if dialect in _DOLLAR:
        string = rf"\$(?P<tag>\w*)\$[\s\S]*?(?:\$(?P=tag)\$|\Z)|{string}"
    if dialect in (Dialect.TSQL, Dialect.SQLITE):
        name = rf"\[[^\]]*(?:\]|\Z)|{name}"
    line = r"--(?=[\s\x00-\x1f]|\Z)[^\n]*" if dialect is Dialect.MYSQL else r"--[^\n]*"
    if dialect in _HASH:
        line = rf"{line}|#[^\n]*"
    opening = r"/\*(?:M?!\d*)?" if dialect is Dialect.MYSQL else r"/\*"
    directive = _DIRECTIVES.get(dialect, r"(?!)")
    return re.compile(
        f"(?P<string>{string})|(?P<name>{name})|(?P<line>{line})|(?P<opening>{opening})|(?P<closing>\\*/)"
        f"|(?P<directive>{directive})"
    )


def lex(text: str, dialect: Dialect) -> Lexed:
    """``text`` taken apart by the rules of ``dialect``, in time that is linear in its length."""
    kept: list[str] = []
    emptied: list[str] = []
    directives: list[str] = []
    place = 0
    executable = 0
    pattern = _tokens(Dialect.POSTGRES if dialect is Dialect.ANY else dialect)
    while found := pattern.search(text, place):
        kept.append(text[place : found.start()])
        emptied.append(text[place : found.start()])
        token, place = found[0], found.end()
        left = " "
        match next(group for group in _GROUPS if found[group] is not None):
            case "string":
                left = token
            case "name":
                left = token
            case "directive":
                directives.append(token.strip())
                left = ";"
            case "opening" if len(token) > len("/*"):
                executable += 1
            case "opening":
                place = _comment_end(text, place, nested=dialect in _NESTING)
            case "closing" if executable:
                executable -= 1
            case "closing":
                left = token
        kept.append(left)
        emptied.append("''" if found["string"] is not None else left)
    kept.append(text[place:])
    emptied.append(text[place:])
    return Lexed("".join(kept), "".join(emptied), tuple(directives))


_GROUPS = ("string", "name", "line", "opening", "closing", "directive")


def _comment_end(text: str, place: int, *, nested: bool) -> int:
    depth = 1
    while edge := _COMMENT_EDGE.search(text, place):
        place = edge.end()
        if edge[0] == "*/":
            depth -= 1
        elif nested:
            depth += 1
        if not depth:
            return place
    return len(text)
