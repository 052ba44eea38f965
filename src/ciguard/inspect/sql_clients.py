"""The SQL that a script gives to databases: in options of their clients, on their standard input, in files it wrote."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ciguard.inspect import sql
from ciguard.inspect.shell.command import Command, Script, Word
from ciguard.inspect.shell.trait import Trait
from ciguard.inspect.sql_statement import UNKNOWN, Dialect, Statement


@dataclass(frozen=True, slots=True)
class Client:
    """How a database's client is told what to run.

    ``sql``, ``files`` and ``valued`` are the names of options whose value is SQL, is a file of SQL, or is something
    else, and ``attached`` of those whose value, if any, stands in the same word. Names of one character can be
    clustered (``-qc``) unless ``long`` says that all names are words. ``operands`` is the number of operands that come
    before those that are SQL; None when no operand is. ``verb``, where it is not empty, is the first operand without
    which the client runs no SQL.
    """

    dialect: Dialect
    sql: frozenset[str] = frozenset()
    files: frozenset[str] = frozenset()
    valued: frozenset[str] = frozenset()
    attached: frozenset[str] = frozenset()
    long: bool = False
    operands: int | None = None
    verb: str = ""


def _names(names: str) -> frozenset[str]:
    return frozenset(names.split())


_PSQL = Client(
    Dialect.POSTGRES,
    _names("c command"),
    _names("f file"),
    _names("d F h L o p P R T U v dbname field-separator host log-file output port pset set username variable"),
)
_MYSQL = Client(
    Dialect.MYSQL,
    _names("e execute init-command"),
    valued=_names("h u D P S database host port socket user defaults-file defaults-extra-file delimiter"),
    attached=_names("p"),
)
_SQLITE = Client(
    Dialect.SQLITE,
    _names("cmd"),
    _names("init"),
    _names("separator newline nullvalue mmap maxsize vfs escape"),
    long=True,
    operands=1,
)
_SQLCMD = Client(
    Dialect.TSQL, _names("Q q"), _names("i input-file"), _names("S U P d E o h s w W v t l H a c r m y Y V K C f A")
)
_SNOWFLAKE = Client(
    Dialect.SNOWFLAKE, _names("q query"), _names("f filename"), _names("a u d s r w c o D accountname username dbname")
)
_CLICKHOUSE = Client(Dialect.CLICKHOUSE, _names("q query"), _names("queries-file"), _names("h u d host user password"))
_OTHER = Client(
    Dialect.ANY, _names("e q c execute query command"), _names("f file i"), _names("h u d p U P k host port")
)

CLIENTS: Mapping[str, Client] = {
    **dict.fromkeys(("psql", "pgcli", "usql", "pg:psql", "ysqlsh"), _PSQL),
    "cockroach": Client(
        Dialect.POSTGRES, _names("e execute"), _names("f file"), _names("url host port user database d")
    ),
    **dict.fromkeys(("mysql", "mariadb", "mycli", "mysqlsh"), _MYSQL),
    **dict.fromkeys(("sqlite3", "sqlite", "litecli", "sqlcipher"), _SQLITE),
    "duckdb": Client(
        Dialect.DUCKDB,
        _names("c s cmd"),
        _names("init f"),
        _names("separator newline nullvalue"),
        long=True,
        operands=1,
    ),
    **dict.fromkeys(("sqlcmd", "osql", "isql", "mssql-cli"), _SQLCMD),
    "snowsql": _SNOWFLAKE,
    **dict.fromkeys(("clickhouse", "clickhouse-client"), _CLICKHOUSE),
    "snow": Client(Dialect.SNOWFLAKE, _names("q query"), _names("f filename"), _names("c connection"), verb="sql"),
    "sqlplus": Client(Dialect.ORACLE),
    "bq": Client(Dialect.BIGQUERY, operands=1, verb="query"),
    **dict.fromkeys(
        ("cqlsh", "trino", "presto", "spark-sql", "hive", "beeline", "impala-shell", "vsql", "nzsql"), _OTHER
    ),
}

_INFORMING = frozenset({"?", "V", "help", "version"})
"""Options with which a client says something and ends."""

_SHELLS = frozenset({"bash", "dash", "ksh", "sh", "su", "ssh", "zsh", "eval", "watch"})
"""Programs whose words hold a script, the commands of which are seen apart."""

_SILENT = frozenset(
    {
        "git",
        "gh",
        "glab",
        "echo",
        "printf",
        "grep",
        "egrep",
        "fgrep",
        "rg",
        "ag",
        "ack",
        "sed",
        "awk",
        "jq",
        "yq",
        "cat",
    }
    | {
        "tee",
        "less",
        "head",
        "tail",
        "ls",
        "cd",
        "touch",
        "mkdir",
        "rm",
        "cp",
        "mv",
        "find",
        "diff",
        "wc",
        "sort",
        "tr",
    }
    | {"true", "false", "test", "[", "export", "set", "read", ":"}
)
"""Programs that send nothing to a database, whatever their words say."""

_UNSEEN = frozenset({Trait.UNREADABLE, Trait.TOO_LARGE})


def script_statements(text: str, script: Script) -> tuple[Statement, ...]:
    """What the SQL does that ``script``, read from ``text``, gives to databases or holds in other programs' words."""
    found = [statement for command in script.commands for statement in _of_command(command, script)]
    if script.traits & _UNSEEN:
        found += sql.mentions(text)
    return tuple(dict.fromkeys(found))


def _of_command(command: Command, script: Script) -> Iterator[Statement]:
    words = command.words
    for place, word in enumerate(words):
        client = CLIENTS.get(posixpath.basename(word.text)) if word.literal and word.text else None
        # Programs that start others have the client among their words: docker exec db mysql -e ...
        if client is not None and (place == 0 or command.program not in _SILENT | _SHELLS):
            yield from _of_client(client, words[place + 1 :], command, script)
            return
    if command.program in _SHELLS | _SILENT:
        return
    for word in words[1:]:
        yield from sql.mentions(word.text)
    if command.stdin is not None:
        yield from sql.mentions(command.stdin.text)


def _of_client(client: Client, words: Sequence[Word], command: Command, script: Script) -> Iterator[Statement]:
    given = _arguments(client, words)
    sources = given.sql
    for file in given.files:
        sources = [*sources, _written(file, script)]
    if not sources and given.reads_input and command.stdin is not None:
        sources = [command.stdin]
    for source in sources:
        for statement in sql.statements(source.text, client.dialect):
            yield statement if source.literal else replace(statement, tables=None)
        if not source.literal or (given.sets_variables and _VARIABLE.search(source.text)):
            yield UNKNOWN


_VARIABLE = re.compile(r"(?<![:\w]):['\"]?\w")


def _written(file: Word, script: Script) -> Word:
    """The text of a file: known when the script wrote it itself."""
    path = posixpath.normpath(file.text)
    known = {posixpath.normpath(name): text for name, text in (script.files or {}).items()}
    return known[path] if file.literal and path in known else Word("", literal=False)


@dataclass(slots=True)
class _Given:
    sql: list[Word]
    files: list[Word]
    sets_variables: bool = False
    reads_input: bool = True


def _arguments(client: Client, words: Sequence[Word]) -> _Given:
    given = _Given([], [])
    operands: list[Word] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        options = _options(client, word)
        if options is None:
            operands.append(word)
        for name, attached in options or ():
            takes = name in client.sql | client.files | client.valued
            value = attached if attached is not None else rest.pop(0) if takes and rest else None
            if value is None:
                continue
            if name in client.sql:
                given.sql.append(value)
            elif name in client.files:
                given.files.append(value)
            elif name in ("v", "set", "variable"):
                given.sets_variables = True
        if any(name in _INFORMING - client.valued for name, _ in options or ()):
            given.reads_input = False
    if client.verb and (not operands or operands[0].text != client.verb):
        return _Given([], [], reads_input=False)
    if client.operands is not None:
        given.sql += operands[client.operands :]
    if client.dialect is Dialect.ORACLE:
        given.files += [Word(word.text[1:], word.literal) for word in operands if word.text.startswith("@")]
    return given


def _options(client: Client, word: Word) -> list[tuple[str, Word | None]] | None:
    """The options in ``word``, each with the value that is attached to it; None when it is an operand."""
    text = word.text
    if not text.startswith("-") or text in ("-", "--"):
        return None
    if text.startswith("--") or client.long:
        name, equals, value = text.lstrip("-").partition("=")
        return [(name, Word(value, word.literal) if equals else None)]
    for place, letter in enumerate(text[1:], 2):
        if letter in client.attached:
            return []
        if letter in client.sql | client.files | client.valued:
            return [(letter, Word(text[place:], word.literal) if text[place:] else None)]
    return [(letter, None) for letter in text[1:]]
