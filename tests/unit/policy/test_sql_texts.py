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
