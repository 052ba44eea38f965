from __future__ import annotations

import pytest

from ciguard.operation import Json, Operation, OperationKind, Result, ResultKind
from ciguard.policy.sql_texts import statements_of


def kinds(kind: OperationKind | ResultKind, **body: Json) -> set[str]:
    subject = Operation(kind, body) if isinstance(kind, OperationKind) else Result(kind, body)
    return {statement.kind.value for statement in statements_of(subject)}


def call(given: Json, name: str = "tool") -> set[str]:
    return kinds(OperationKind.TOOL_CALL, name=name, input=given, id="1")


@pytest.mark.parametrize(
    "given",
    [
        {"command": "psql -c 'drop table x'"},
        {"cmd": ["psql", "-c", "drop table x"]},
        {"command": ["bash", "-lc", "psql -c 'drop table x'"]},
        {"commands": ["ls", "psql -c 'drop table x'"]},
        {"Command": "psql -c 'drop table x'"},
        {"sql": "drop table x"},
        {"statements": ["select 1", "drop table x"]},
        {"query": "DROP TABLE x"},
        {"query": {"text": "drop table x"}},
        {"code": "db.execute('drop table x')"},
        {"anything": "drop table x"},
        {"deep": [{"er": ["drop table x"]}]},
        {"drop table x": 1},
        "drop table x",
        "psql -c 'drop table x'",
        {"description": "drop table x"},
    ],
)
def test_sql_of_a_tool_call(given: Json) -> None:
    assert "drop" in call(given)


@pytest.mark.parametrize(
    "given",
    [
        {"command": "ls", "description": "Drop table x"},
        {"command": "git commit -m 'drop table x'"},
        {"body": "we should drop table users soon"},
        {"query": "how to remove a table"},
        {"command": 5, "cmd": None, "sql": True},
        {},
        None,
        [],
    ],
)
def test_other_words_of_a_tool_call_are_no_sql(given: Json) -> None:
    assert call(given) == set()


def test_what_must_be_sql_and_is_not_is_unknown() -> None:
    assert call({"sql": "do what I mean"}) == {"unknown"}
    assert call({"query": "do what I mean"}) == set()
    assert kinds(OperationKind.SQL, statement="do what I mean") == {"unknown"}


def test_sql_of_other_kinds() -> None:
    assert kinds(OperationKind.SQL, statement="delete from t") == {"delete"}
    assert kinds(OperationKind.SQL, statement="select 1", more=["truncate t"]) == {"select", "truncate"}
    assert kinds(OperationKind.COMMAND, argv=["psql", "-c", "drop table x"]) == {"drop"}
    assert kinds(OperationKind.COMMAND, argv=["sh", "-c", "psql -c 'drop table x'"]) == {"drop"}
    assert kinds(OperationKind.COMMAND, argv=None, more="drop table x") == {"drop"}
    assert kinds(OperationKind.PROMPT, texts=["please drop table users"]) == {"drop"}
    assert kinds(OperationKind.SSH_COMMAND, host="h", command="psql -c 'drop table x'") == {"drop"}
    assert kinds(ResultKind.TOOL_RESULT, texts=["nothing of the kind"]) == set()


def test_sql_in_files_that_were_read_when_a_client_started() -> None:
    def command(*argv: str, **body: Json) -> set[str]:
        return kinds(OperationKind.COMMAND, argv=[*argv], path="/usr/bin/psql", **body)

    drop: dict[str, Json] = {"./m.sql": "drop table x", "-": "truncate t"}
    assert command("psql", "-f", "./m.sql", files=drop) == {"drop"}
    assert command("psql", "-f", "m.sql", files=drop) == {"drop"}
    assert command("psql", "-f", "m.sql", "-f", "n.sql", files=drop) == {"drop", "unknown"}
    assert command("psql", "db", files=drop) == {"truncate"}
    assert command("psql", "-f", "-", files=drop) == {"truncate"}
    assert command("psql", "-c", "select 1", files=drop) == {"select"}
    assert command("sqlplus", "u/p@db", "@m.sql", files={"m.sql": "drop table x"}) == {"drop"}
    assert command("sudo", "-u", "postgres", "psql", "-f", "m.sql", files=drop) == {"drop"}
    assert command("x", "-f", "m.sql", files=drop, also=[["/usr/bin/psql", "-f", "m.sql"]]) >= {"drop"}
    assert command("psql", "-f", "m.sql", files={"m.sql": "do what I mean"}) == {"unknown"}
    assert command("psql", "-f", "m.sql") == {"unknown"}
    assert command("psql", unread="its standard input is a pipe") == {"unknown"}
    assert command("psql", "-c", "select 1", unread="its standard input is a pipe") == {"select"}
    for informing in ("--version", "-V", "--help", "-?"):
        assert command("psql", informing, unread="its standard input is a pipe") == set()
    assert command("sqlite3", "-version", unread="its standard input is a pipe") == set()
    assert command("psql", "-d", "version", "-V1", unread="its standard input is a pipe") == set()
    assert command("sqlcmd", "-V", "16", unread="its standard input is a pipe") == {"unknown"}
    assert command("psql", files={"m.sql": 1}) == set()
    assert command("ls", files=drop) == set()
