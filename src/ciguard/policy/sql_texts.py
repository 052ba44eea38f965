"""Where an operation says SQL: as a statement, in a script that calls a database's client, in an argument of a tool."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from ciguard.inspect import sql
from ciguard.inspect.shell.analysis import analyse, analyse_program
from ciguard.inspect.shell.command import Word
from ciguard.inspect.sql_clients import script_statements
from ciguard.inspect.sql_statement import Statement
from ciguard.operation import Json, Operation, OperationKind, Result, strings
from ciguard.policy.tools import SCRIPT_KEYS

SQL_KEYS = frozenset({"ddl", "sql", "sql_query", "sqlquery", "statement", "statements"})
"""Arguments of tools that hold SQL."""

_CODE_KEYS = frozenset({"code", "input", "queries", "query", "source", "text"})
"""Arguments of tools that can hold SQL among other things."""

_REMARKS = frozenset({"description", "explanation", "justification"})
"""What agents say about the script beside it."""


def statements_of(subject: Operation | Result) -> frozenset[Statement]:
    """What the SQL in ``subject`` does."""
    return frozenset(_statements(subject))


def _statements(subject: Operation | Result) -> Iterator[Statement]:
    match subject.kind:
        case OperationKind.SQL:
            for text in strings(list(subject.body.values())):
                yield from sql.statements(text)
        case OperationKind.COMMAND:
            yield from _in_command(subject.body)
        case OperationKind.SSH_COMMAND:
            for text in strings(list(subject.body.values())):
                yield from _in_script(text)
        case OperationKind.TOOL_CALL:
            given = subject.body.get("input")
            if isinstance(given, str):
                yield from _in_script(given)
            yield from _in_arguments(subject.body)
        case _:
            for text in strings(dict(subject.body)):
                yield from sql.mentions(text)


def _in_arguments(arguments: Mapping[str, Json]) -> Iterator[Statement]:
    pending: list[tuple[str, Json]] = [("", dict(arguments))]
    while pending:
        key, value = pending.pop()
        match value:
            case dict():
                described = not SCRIPT_KEYS.isdisjoint(name.lower() for name in value)
                for name, item in value.items():
                    yield from sql.whole(name)
                    if not (described and name in _REMARKS):
                        pending.append((name.lower(), item))
            case list():
                if key in SCRIPT_KEYS and any(isinstance(item, str) for item in value):
                    yield from _in_program(value)
                pending.extend((key, item) for item in value)
            case str():
                yield from _in_argument(key, value)


def _in_argument(key: str, text: str) -> Iterator[Statement]:
    if key in SCRIPT_KEYS:
        yield from _in_script(text)
    elif key in SQL_KEYS:
        yield from sql.statements(text)
    elif key in _CODE_KEYS:
        yield from sql.mentions(text)
    else:
        yield from sql.whole(text)


def _in_script(text: str) -> Iterator[Statement]:
    yield from sql.whole(text)
    yield from script_statements(text, analyse(text))


def _in_program(argv: list[Json]) -> Iterator[Statement]:
    words = [word for word in argv if isinstance(word, str)]
    yield from script_statements(" ".join(words), analyse_program(words))


def _in_command(body: Mapping[str, Json]) -> Iterator[Statement]:
    """What is given to a program that is executed: in its words, and in the files that were read for it."""
    files = body.get("files")
    texts = (
        {name: Word(text) for name, text in files.items() if isinstance(text, str)} if isinstance(files, dict) else {}
    )
    stdin = texts.get("-", Word("", literal=False) if body.get("unread") else None)
    also = body.get("also")
    for argv in (body.get("argv"), *(also if isinstance(also, list) else ())):
        words = [word for word in argv if isinstance(word, str)] if isinstance(argv, list) else []
        script = analyse_program(words)
        commands = tuple(replace(one, stdin=stdin) if one.stdin is None else one for one in script.commands)
        given = replace(script, commands=commands, files={**script.files, **texts})
        yield from script_statements(" ".join(words), given)
    yield from _in_arguments({key: value for key, value in body.items() if key not in ("argv", "files")})
