"""SQL statements anywhere in a text of any language: in a string of a program, in a template, in text that no grammar
takes.

This works by patterns, since the text around the SQL can be anything. It would rather find too
much than too little: a phrase of prose that reads like a statement counts as one. What it does follow is how
statements are disguised: case, line ends, comments (nested ones and MySQL's executable ``/*! */`` too), escaped line
ends, and strings that are put together from pieces. Time is linear in the text.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import cache

from ciguard.inspect.sql_statement import StatementKind
from ciguard.inspect.text_rules import Pattern, character_spans, compile_pattern, encoded, occurrences

# No part of these patterns can stay undecided over a stretch of text that holds another match: that is what keeps
# finding all matches linear, not only finding the first. Hence the bound on comments; longer ones are blanked out.
_GAP = r"(?:[\s'\"+`\\]|\\[nrt]|--[^\n]{0,40}\n)"
_OBJECT = (
    r"(?:(?:or|replace|temp|temporary|global|local|unlogged|unique|clustered|nonclustered|materialized|external|foreign"
    rf"|recursive|concurrently){_GAP}+)*"
    r"(?:aggregate|cast|collation|column|constraint|database|default|domain|event|extension|function|group|index|keyspace"
    r"|language|login|operator|owned|package|partition|policy|procedure|publication|role|routine|rule|schema|sequence"
    r"|server|session|statistics|subscription|synonym|system|tables?|tablespace|trigger|type|user|view)\b"
)
_NAME_PART = r"(?:[A-Za-z_@\x{80}-\x{10FFFF}][A-Za-z0-9_$@\x{80}-\x{10FFFF}-]*|\\?[\"`][^\"`\n;]*[\"`]|\[[^\[\]\n;]*\])"
_NAME = rf"{_NAME_PART}(?:\.{_NAME_PART})*"
_ALIASED = rf"{_NAME}(?:{_GAP}+(?:as{_GAP}+)?{_NAME_PART})?"

_STATEMENTS = {
    StatementKind.OUTSIDE: (
        rf"(?:copy\b[^;]{{1,200}}?\b(?:to|from){_GAP}+program\b|load{_GAP}+data{_GAP}+(?:low_priority{_GAP}+|local{_GAP}+)*infile\b"
        rf"|into{_GAP}+(?:outfile|dumpfile)\b|bulk{_GAP}+insert\b"
        r"|(?:pg_read_(?:binary_)?file|lo_import|lo_export|xp_cmdshell|sp_oacreate|openrowset)\b|dblink(?:_exec)?\s*\()"
    ),
    StatementKind.DROP: rf"drop{_GAP}+{_OBJECT}",
    StatementKind.TRUNCATE: rf"truncate{_GAP}+(?:table{_GAP}+)?(?:only{_GAP}+)?{_NAME_PART}",
    StatementKind.DELETE: (
        rf"delete{_GAP}+(?:(?:low_priority|quick|ignore){_GAP}+)*"
        rf"(?:from\b|{_NAME}\.\*{_GAP}+from\b|{_NAME}(?:\.\*)?(?:\s*,\s*{_NAME}(?:\.\*)?)+{_GAP}+from\b"
        rf"|{_NAME}{_GAP}+from{_GAP}+{_ALIASED}{_GAP}+(?:join|inner|left|right|cross|where)\b)"
    ),
    StatementKind.UPDATE: (
        rf"update{_GAP}+(?:(?:low_priority|ignore|only|or{_GAP}+[a-z]+){_GAP}+)*"
        rf"{_ALIASED}(?:\s*,\s*{_ALIASED})*(?:{_GAP}+(?:inner|left|right|cross|join)\b[^;]+?)?"
        rf"{_GAP}+set{_GAP}+(?:{_NAME}\s*[=\[]|\()"
    ),
    StatementKind.INSERT: (
        rf"(?:insert{_GAP}+(?:(?:low_priority|delayed|high_priority|ignore|or{_GAP}+[a-z]+){_GAP}+)*|replace{_GAP}+)into\b"
    ),
    StatementKind.MERGE: rf"merge{_GAP}+into\b",
    StatementKind.ALTER: rf"alter{_GAP}+{_OBJECT}",
    StatementKind.CREATE: rf"create{_GAP}+{_OBJECT}",
    StatementKind.GRANT: rf"grant{_GAP}+[^;]+?\b(?:on|to)\b",
    StatementKind.REVOKE: rf"revoke{_GAP}+[^;]+?\b(?:on|from)\b",
}

# Where a statement surely ends: at its semicolon, and where the shell goes on behind the string that held it. After a
# quote the statement goes on unless a separator, an option or an unrelated line follows.
_END = (
    r";|[^|]\|[^|]|&&|<<|['\"]\s*(?:$|[|&>)\]},]|-\w)"
    r"|['\"][ \t]*\\?\n\s*[^\s\w(,.='\"]"
)
_WHERE = r"\bwhere\b"
_WHERE_ALL = r"\bwhere(?:\s|\()*(?:1\s*=\s*1|true|1|'1'\s*=\s*'1')(?:\s|\))*(?:$|;|['\"])"
_GATE = (
    r"(?i)\b(?:alter|bulk|copy|create|dblink|dblink_exec|delete|drop|grant|insert|into|lo_export|lo_import|load|merge"
    r"|openrowset|pg_read_binary_file|pg_read_file|replace|revoke|sp_oacreate|truncate|update|xp_cmdshell)\b"
)


@dataclass(frozen=True, slots=True)
class Mention:
    """A statement of ``kind`` between the characters ``start`` and ``end`` of the text.

    ``has_where`` says that it has a WHERE which restricts it (``WHERE 1=1`` does not); only meaningful for kinds that
    can have one.
    """

    kind: StatementKind
    has_where: bool
    start: int
    end: int


def find_statements(text: str) -> list[Mention]:
    """Every statement found in ``text``, in order of its start; the same one may be found under two readings."""
    data = encoded(text)
    if compile_pattern(_GATE).search(data) is None:
        return []
    without_blocks = _without_block_comments(data)
    without_comments = _blanked(r"(?:--|#)[^\n]*", without_blocks)
    readings = {data, without_blocks, without_comments, _blanked(r"'[^']*'", without_comments)}
    found = list({statement for reading in readings for statement in _found(reading)})
    spans = character_spans(data, [(start, end) for _, _, start, end in found])
    statements = [Mention(kind, has_where, *span) for (kind, has_where, _, _), span in zip(found, spans, strict=True)]
    return sorted(
        statements, key=lambda statement: (statement.start, statement.end, statement.kind, statement.has_where)
    )


def find_in_words(text: str) -> list[tuple[StatementKind, bool]]:
    """The statements in ``text``, which is without strings and comments: each kind, and whether it has a WHERE."""
    data = encoded(text)
    if compile_pattern(_GATE).search(data) is None:
        return []
    return [(kind, has_where) for kind, has_where, _, _ in _found(data)]


def _found(data: bytes) -> list[tuple[StatementKind, bool, int, int]]:
    ends = [start for start, _ in occurrences(_ignoring_case(_END), data)]
    unrestricted = {start for start, _ in occurrences(_ignoring_case(_WHERE_ALL), data)}
    wheres = [start for start, _ in occurrences(_ignoring_case(_WHERE), data) if start not in unrestricted]
    found = []
    for kind, pattern in _STATEMENTS.items():
        for start, head in occurrences(_ignoring_case(rf"\b(?:{pattern})"), data):
            next_end = bisect_left(ends, head)
            end = ends[next_end] if next_end < len(ends) else len(data)
            next_where = bisect_left(wheres, start)
            has_where = next_where < len(wheres) and wheres[next_where] < end
            found.append((kind, has_where, start, end))
    return found


@cache
def _ignoring_case(pattern: str) -> Pattern:
    return compile_pattern(f"(?i){pattern}")


def _without_block_comments(data: bytes) -> bytes:
    """``data`` with block comments blanked out; of MySQL's executable comments only what delimits them."""
    result = bytearray(data)
    open_comments: list[int] = []
    for start, end in occurrences(compile_pattern(r"/\*(?:M?!\d*)?|\*/"), data):
        token = data[start:end]
        if token == b"/*":
            open_comments.append(start)
        elif token != b"*/":
            result[start:end] = b" " * (end - start)
        elif open_comments:
            begin = open_comments.pop()
            if not open_comments:
                result[begin:end] = b" " * (end - begin)
        else:
            result[start:end] = b"  "
    return bytes(result)


def _blanked(pattern: str, data: bytes) -> bytes:
    """``data`` with spaces for what ``pattern`` matches: for line comments, or for literals that may hold a word."""
    result = bytearray(data)
    for start, end in occurrences(compile_pattern(pattern), data):
        result[start:end] = b" " * (end - start)
    return bytes(result)
