from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.operation import Json, Operation, OperationKind, Result, ResultKind
from ciguard.policy.matching import Gate, Matcher, Subject, Watch
from ciguard.policy.rules import Rule
from ciguard.policy.tools import GROUPS
from tests.unit.policy.sources import loaded


def matches(rule: str, kind: OperationKind | ResultKind, body: Mapping[str, Json]) -> bool:
    matcher = Matcher(loaded(f"rules: [{{id: r, {rule}}}]").rules[0])
    subject = Operation(kind, body) if isinstance(kind, OperationKind) else Result(kind, body)
    return matcher.matches(Subject(subject))


def call(name: Json, value: Json) -> dict[str, Json]:
    return {"name": name, "input": value, "id": "toolu_1"}


RM = "on: [tool_call, command, prompt], text: {regex: ['^rm -rf /$']}"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (OperationKind.TOOL_CALL, call("Bash", {"command": "rm -rf /"})),
        (OperationKind.TOOL_CALL, call("exec_command", {"cmd": "rm -rf /", "workdir": "/"})),
        (OperationKind.TOOL_CALL, call("shell", {"command": ["rm", "-rf", "/"]})),
        (OperationKind.TOOL_CALL, call("shell", {"command": ["bash", "-lc", "rm -rf /"]})),
        (OperationKind.TOOL_CALL, call("x", {"deep": [{"er": [1, {"argv": ["rm", "-rf", "/"]}]}]})),
        (OperationKind.TOOL_CALL, call("x", "rm -rf /")),
        (OperationKind.TOOL_CALL, call("x", {"rm -rf /": 1})),
        (OperationKind.TOOL_CALL, call("rm -rf /", None)),
        (OperationKind.TOOL_CALL, {**call("x", None), "other": "rm -rf /"}),
        (OperationKind.COMMAND, {"argv": ["rm", "-rf", "/"]}),
        (OperationKind.PROMPT, {"texts": ["hello", "rm -rf /"]}),
    ],
)
def test_text_looks_at_every_string_and_at_argument_lists(kind: OperationKind, body: dict[str, Json]) -> None:
    assert matches(RM, kind, body)


def test_the_keys_of_the_body_itself_are_no_texts_but_other_keys_are() -> None:
    rule = "on: [tool_call, prompt], text: {regex: ['^(?:texts|name|input|id)$']}"
    assert not matches(rule, OperationKind.TOOL_CALL, call("Bash", {"command": "ls"}))
    assert not matches(rule, OperationKind.PROMPT, {"texts": ["hello"]})
    assert matches(rule, OperationKind.TOOL_CALL, call("Bash", {"name": 1}))
    assert matches("on: [prompt], text: {regex: [odd]}", OperationKind.PROMPT, {"odd": 1})


def test_texts_of_a_conversation_are_not_read_as_one_line() -> None:
    assert not matches(RM, OperationKind.PROMPT, {"texts": ["rm", "-rf", "/"]})


@pytest.mark.parametrize("body", [{}, {"texts": None}, {"texts": [1, True, 1.5]}, {"name": ["x"]}])
def test_bodies_without_texts_match_nothing(body: dict[str, Json]) -> None:
    assert not matches(RM, OperationKind.TOOL_CALL, body)


def test_texts_that_no_encoding_takes_are_matched() -> None:
    body = call("Bash", {"command": "echo \ud800; rm -rf /"})
    assert matches("on: [tool_call], text: {regex: ['rm -rf /']}", OperationKind.TOOL_CALL, body)
    assert matches("on: [tool_call], text: {keywords: [rm]}", OperationKind.TOOL_CALL, call("x", "\udcff rm"))


@pytest.mark.parametrize(
    ("tool", "name", "matched"),
    [
        ("{names: [Bash]}", "Bash", True),
        ("{names: [Bash]}", "bash", False),
        ("{names: ['mcp__*', Bash]}", "mcp__db__query", True),
        ("{names: ['mcp__*'], except: [mcp__db__*]}", "mcp__db__query", False),
        ("{except: [Read]}", "Read", False),
        ("{except: [Read]}", "Bash", True),
        ("{except: [Read]}", "", True),
        ("{except: [Read]}", ["Read"], True),
        ("{names: ['*']}", 5, True),
        ("{except: ['ciguard:writing-tools']}", "Write", False),
        ("{except: ['ciguard:writing-tools']}", "mcp__x__Write", True),
        ("{except: ['ciguard:writing-tools']}", "Read", True),
        ("{except: ['ciguard:text-tools']}", "Read", False),
        ("{names: ['ciguard:reading-tools']}", "grep", True),
        ("{names: ['ciguard:reading-tools']}", "ciguard:reading-tools", False),
    ],
)
def test_tool_looks_at_the_name(tool: str, name: Json, matched: bool) -> None:
    assert matches(f"on: [tool_call], tool: {tool}", OperationKind.TOOL_CALL, call(name, {})) is matched


def test_what_is_no_tool_call_is_never_left_out() -> None:
    rule = "on: [tool_call, command], tool: {except: ['*']}, text: {regex: [rm]}"
    assert matches(rule, OperationKind.COMMAND, {"argv": ["rm"], "name": "Read"})
    assert not matches(rule, OperationKind.TOOL_CALL, call("rm", {}))


@pytest.mark.parametrize(
    ("sql", "text", "matched"),
    [
        ("{statements: [drop]}", "psql -c 'DROP TABLE users'", True),
        ("{statements: [truncate]}", "psql -c 'DROP TABLE users'", False),
        ("{without_where: [delete]}", "delete from users", True),
        ("{without_where: [delete]}", "delete from users where id = 1", False),
        ("{without_where: [update]}", "delete from users", False),
        ("{statements: [delete]}", "delete from users where id = 1", True),
        ("{without_where: [delete]}", "delete from a where id = 1; delete from b", True),
        ("{statements: [drop], without_where: [delete]}", "select 1", False),
        ("{statements: [drop]}", "insert into log values ('drop table x')", False),
    ],
)
def test_sql_looks_into_every_text(sql: str, text: str, matched: bool) -> None:
    assert matches(f"on: [tool_call], sql: {sql}", OperationKind.TOOL_CALL, call("Bash", {"command": text})) is matched


def test_sql_is_found_over_an_argument_list() -> None:
    body: dict[str, Json] = {"argv": ["psql", "-c", "DROP", "TABLE", "users"]}
    assert matches("on: [command], sql: {statements: [drop]}", OperationKind.COMMAND, body)


def test_all_matchers_must_match() -> None:
    rule = "on: [tool_call], tool: {names: [Bash]}, text: {keywords: [psql]}, sql: {statements: [drop]}"
    full = call("Bash", {"command": "psql -c 'drop table x'"})
    assert matches(rule, OperationKind.TOOL_CALL, full)
    assert not matches(rule, OperationKind.TOOL_CALL, {**full, "name": "Write"})
    assert not matches(rule, OperationKind.TOOL_CALL, call("Bash", "mysql -e 'drop table x'"))
    assert not matches(rule, OperationKind.TOOL_CALL, call("Bash", "psql -c 'select 1'"))


def test_results_are_matched_like_operations() -> None:
    rule = "on: [rows, response_text], text: {regex: [secret]}"
    assert matches(rule, ResultKind.ROWS, {"rows": [{"a": "secret"}]})
    assert matches(rule, ResultKind.RESPONSE_TEXT, {"text": "secret"})


def test_groups_hold_no_tool_that_executes_its_texts() -> None:
    executing = {"Bash", "BashOutput", "shell", "exec_command", "run_shell_command", "execute", "WebFetch", "bash"}
    assert all(not (names & executing) for names in GROUPS.values())
    assert GROUPS["ciguard:text-tools"] == GROUPS["ciguard:reading-tools"] | GROUPS["ciguard:writing-tools"]


RULES = st.lists(
    st.sampled_from(["a+b", "(?i)token", "^x", "(?m)y$", r"\bz\b", "é|ü", "[^a-z]{3}"]),
    min_size=1,
    max_size=4,
    unique=True,
)


@given(
    RULES,
    st.lists(st.sampled_from(["Key", "drop it"]), max_size=2),
    st.lists(st.text("abxyzéüTOKENtokenkeydrpi \n"), max_size=4),
)
def test_one_pass_over_all_rules_finds_what_they_find_one_by_one(
    regexes: list[str], keywords: list[str], texts: list[str]
) -> None:
    rules = [
        Rule.model_validate_json(json.dumps({"id": f"r{place}", "on": ["prompt"], "text": text}))
        for place, text in enumerate(
            [*({"regex": [one]} for one in regexes), *({"keywords": [one]} for one in keywords)]
        )
    ]
    matchers = [Matcher(rule) for rule in rules]
    operation = Operation(OperationKind.PROMPT, {"texts": list(texts)})
    subject = Subject(operation)
    watch = Watch(matchers)
    for _ in range(2):
        assert watch.matched(operation) == [matcher.rule for matcher in matchers if matcher.matches(subject)]


def test_a_gate_remembers_short_texts_and_no_more_than_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    def is_in(text: bytes) -> bool:
        asked.append(text)
        return b"x" in text

    monkeypatch.setattr(Gate, "MOST", 3)
    monkeypatch.setattr(Gate, "LONGEST", 4)
    gate = Gate(is_in)
    for text in (b"ab", b"ab", b"ax", b"ax", b"long one", b"long one"):
        assert gate.opens([text]) == (b"x" in text)
    assert asked == [b"ab", b"ax", b"ax", b"long one", b"long one"]
    assert [gate.opens([b"%d" % number]) for number in range(10)] == [False] * 10
    assert len(gate._silent) <= 3
