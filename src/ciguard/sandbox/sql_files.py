"""The SQL that a database's client is given in files, read when the client starts. Bare standard library.

It is known for every client in ``inspect/sql_clients.py`` by which options files are named. Here every word counts that
could name one: what is read and was not meant changes nothing, and what was meant and is not read is unknown.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence

from ciguard.sandbox.program import Program, Script, seen_from, standard_input, text_of

CLIENTS = frozenset(
    {"beeline", "bq", "clickhouse", "clickhouse-client", "cockroach", "cqlsh", "duckdb", "hive", "impala-shell", "isql"}
    | {"litecli", "mariadb", "mssql-cli", "mycli", "mysql", "mysqlsh", "nzsql", "osql", "pg:psql", "pgcli", "presto"}
    | {"psql", "snow", "snowsql", "spark-sql", "sqlcipher", "sqlcmd", "sqlite", "sqlite3", "sqlplus", "trino", "usql"}
    | {"vsql", "ysqlsh"}
)
"""Programs that send SQL to databases."""

MOST = 8
"""How many files are read."""

STANDARD_INPUT = "-"

PIPED = Script(unread="its standard input is a pipe")
"""What comes through a pipe cannot be read before the client reads it."""

_LONG = frozenset({"file", "filename", "init", "input-file", "queries-file"})
_SHORT = frozenset("fi")


def sql_files(process: int, program: Program, argv: Sequence[bytes]) -> tuple[tuple[str, Script], ...]:
    """The files that ``process`` gives to a client of a database, by the names that ``argv`` has for them.

    Its standard input, where that is a file or a pipe, is among them as :data:`STANDARD_INPUT`.
    """
    called = (program.path, *argv[:1])
    if CLIENTS.isdisjoint(path.rpartition(b"/")[2].decode("utf-8", "replace") for path in called):
        return ()
    names = dict.fromkeys(named_files([word.decode("utf-8", "surrogateescape") for word in argv[1:]]))
    texts = [(name, text_of(seen_from(process, os.fsencode(name), None))) for name in list(names)[:MOST]]
    found = [(name.encode("utf-8", "backslashreplace").decode(), text) for name, text in texts if not text.unread]
    given = standard_input(process) or (PIPED if _is_piped(process) else None)
    return (*found, *([(STANDARD_INPUT, given)] if given else []))


def _is_piped(process: int) -> bool:
    try:
        mode = os.stat(b"/proc/%d/fd/0" % process).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def named_files(words: Sequence[str]) -> Iterator[str]:
    """What of a client's arguments may name a file."""
    takes = False
    for word in words:
        if takes:
            takes = False
            yield word
        elif word.startswith("@"):
            yield word[1:]
        elif word.lstrip("-").partition("=")[0] in _LONG and word.startswith("-"):
            _, takes_here, value = word.partition("=")
            takes = not takes_here
            if value:
                yield value
        elif word.startswith("-"):
            place = next((place for place, letter in enumerate(word) if letter in _SHORT), 0)
            takes = place == len(word) - 1 and place > 0
            if place and not takes:
                yield word[place + 1 :]
