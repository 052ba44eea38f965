"""What SQL does, by the grammar of its database.

Where no grammar takes a text, what stands in it is looked for by pattern, and the text counts as unknown besides: SQL
is never silently nothing.
"""

from __future__ import annotations

import re
from dataclasses import replace

from ciguard.inspect import sql_dialects, sql_mention, sql_postgres
from ciguard.inspect.sql_directives import directive_effects
from ciguard.inspect.sql_lexis import Lexed, lex
from ciguard.inspect.sql_statement import UNKNOWN, Dialect, Reading, Statement, StatementKind, Unreadable

LONGEST = 262_144
"""Characters of a text, with all SQL that it runs from strings, that are read by grammar."""

MOST_TEXTS = 64
"""Texts that a text may run from its strings, and these from theirs."""


def statements(text: str, dialect: Dialect = Dialect.ANY) -> tuple[Statement, ...]:
    """Everything that the SQL ``text`` does, each once; with :data:`UNKNOWN` when not all of it could be read."""
    found: dict[Statement, None] = {}
    texts = [text]
    length = 0
    for count, one in enumerate(texts):
        length += len(one)
        if count >= MOST_TEXTS or length > LONGEST:
            found |= dict.fromkeys(statement for rest in texts[count:] for statement in _mentioned(rest))
            found[UNKNOWN] = None
            break
        reading = _read(one, dialect)
        found |= dict.fromkeys(reading.statements)
        texts += reading.texts
        for mention in reading.mentions:
            if _is_whole(mention):
                texts.append(mention)
            else:
                found |= dict.fromkeys(_mentioned(mention))
    return tuple(found)


def mentions(text: str) -> tuple[Statement, ...]:
    """What SQL that stands somewhere in ``text`` does; exact when all of ``text`` is SQL, by pattern when it is not.

    Nothing for texts that hold no SQL. What is only by pattern does not count as unknown.
    """
    rough = _mentioned(text)
    return (whole(text) or rough) if rough else ()


def whole(text: str) -> tuple[Statement, ...]:
    """What ``text`` does when all of it is SQL that changes something, and nothing when it is another text."""
    return statements(text) if _is_whole(text) else ()


def _is_whole(text: str) -> bool:
    if len(text) > LONGEST or not _mentioned(text):
        return False
    try:
        return bool(sql_postgres.read(lex(_clean(text), Dialect.POSTGRES).sql).statements)
    except Unreadable:
        return False


def _mentioned(text: str) -> tuple[Statement, ...]:
    return tuple(
        dict.fromkeys(Statement(mention.kind, None, mention.has_where) for mention in sql_mention.find_statements(text))
    )


def _clean(text: str) -> str:
    """``text`` with a letter for what no encoding takes."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _read(text: str, dialect: Dialect) -> Reading:
    if "\0" in text:
        # Some programs end at a NUL, others leave it out.
        return _unread(text.replace("\0", ""))
    text = _clean(text)
    lexed = lex(text, dialect)
    directed = [effect for directive in lexed.directives for effect in directive_effects(directive, dialect)]
    copied = [_CLIENT_FILE.sub(r"\1 stdin", directive[1:]) for directive in lexed.directives if _COPY.match(directive)]
    if not lexed.words.strip(" \t\r\n;"):
        return Reading(directed, copied)
    match dialect:
        case Dialect.ANY:
            reading = _read_any(text, lexed)
        case Dialect.POSTGRES:
            reading = _read_postgres(lexed)
        case _:
            try:
                reading = sql_dialects.read(lexed, dialect)
            except Unreadable:
                reading = _unread(lexed.sql)
    if _VARIABLE.search(lexed.words) and any(map(_SETTING.match, lexed.directives)):
        reading.statements = [*(replace(statement, tables=None) for statement in reading.statements), UNKNOWN]
    reading.statements += directed
    reading.texts += copied
    return reading


_COPY = re.compile(r"\\copy\b")
_CLIENT_FILE = re.compile(r"(?i)\b(from|to)\s+(?:program\s+)?(?:'[^']*'|[\w./~-]+)(?=\s*(?:\Z|with\b|\(|;))")
_SETTING = re.compile(r"\\(?:set|gset|prompt|getenv)\b")
_VARIABLE = re.compile(r"(?<![:\w]):['\"]?\w|(?<![:\w]):''")
"""A variable of psql, which it replaces by its text; strings are empty where this is looked for."""


def _unread(text: str) -> Reading:
    return Reading([*_mentioned(text), UNKNOWN])


def _read_postgres(lexed: Lexed) -> Reading:
    """The statements one by one where they cannot be read together: psql goes on after a statement that fails."""
    try:
        return sql_postgres.read(lexed.sql)
    except Unreadable:
        pass
    try:
        pieces = sql_postgres.split(lexed.sql)
    except Unreadable:
        return _unread(lexed.sql)
    whole = Reading()
    for piece in pieces:
        reading = _read_piece(piece)
        whole.statements += reading.statements
        whole.texts += reading.texts
        whole.mentions += reading.mentions
    return whole


_PLACEHOLDER = re.compile(r"""%s|%\(\w+\)s|\?|(?<![:\w]):(?:\w+|'\w+'|"\w+")""")


def _read_piece(piece: str) -> Reading:
    """One statement: as it is, then with drivers' placeholders, then by sqlglot, which goes deeper."""
    for candidate in (piece, _PLACEHOLDER.sub("$1", piece)):
        try:
            return sql_postgres.read(candidate)
        except Unreadable:
            continue
    try:
        reading = sql_dialects.read(lex(piece, Dialect.POSTGRES), Dialect.POSTGRES)
    except Unreadable:
        return _unread(piece)
    reading.statements.append(UNKNOWN)
    return reading


_OTHERS = (Dialect.MYSQL, Dialect.TSQL, Dialect.SQLITE, Dialect.ORACLE, Dialect.BIGQUERY, Dialect.SNOWFLAKE)

_AMBIGUOUS = re.compile(r"[\\`#\[]|/\*M?!|--\S")
"""What other databases read in another way than PostgreSQL does: quotes, comments, escapes."""


def _read_any(text: str, lexed: Lexed) -> Reading:
    """As PostgreSQL, if it takes the text, and where others would read it otherwise as these too; else as the first
    that takes it."""
    reading = _read_postgres(lexed)
    known = not _is_unknown(reading)
    if known and not _AMBIGUOUS.search(text):
        return reading
    for dialect in _OTHERS:
        theirs = lex(text, dialect)
        try:
            other = sql_dialects.read(theirs, dialect)
        except Unreadable:
            continue
        if known:
            reading.statements += [statement for statement in other.statements if statement != UNKNOWN]
            reading.texts += other.texts
        elif not _is_unknown(other):
            # Where the two do not even agree on what is a string, both count.
            if theirs.words != lexed.words:
                other.statements += [statement for statement in reading.statements if statement != UNKNOWN]
            return other
    return reading


def _is_unknown(reading: Reading) -> bool:
    return any(statement.kind is StatementKind.UNKNOWN for statement in reading.statements)
